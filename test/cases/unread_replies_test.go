package cases_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type filler struct{}

func (filler) Bytes(_ context.Context, n int, r *[]byte) (err error) {
	*r = make([]byte, n<<20)
	return
}
func (filler) Strings(_ context.Context, n int, r *string) (err error) {
	*r = string(make([]byte, n<<20))
	return
}

// A peer asks 60 times for 8 MiB on one session, in some 3 KB, and reads
// nothing. With libp2p's default limits a stream has 16 MiB.
func TestRepliesThatNobodyReadsAreBounded(t *testing.T) {
	if testing.Short() { // for the race detector: hundreds of MiB
		t.Skip("it takes much memory")
	}
	for _, method := range []string{"Strings", "Bytes"} {
		t.Run(method, func(t *testing.T) {
			a, _ := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
			b, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
			defer a.Close()
			defer b.Close()
			s := rpc.NewServer(b, "/r/1")
			defer s.Close()
			_ = s.RegisterName("S", filler{})
			ctx := context.Background()
			_ = a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()})
			st, err := a.NewStream(ctx, b.ID(), "/r/1/session/2")
			if err != nil {
				t.Fatal(err)
			}
			out := []byte{6, 1, 2, 0x80, 0x80, 0xc0, 8} // settings
			for call := byte(1); call <= 60; call++ {
				body := append([]byte("\x83\xa4Name\xa1S\xa6Method"), 0xa0|byte(len(method)))
				body = append(append(body, method...), "\xa4Kind\x01\x08"...)
				out = append(out, byte(len(body)+3), 2, call, byte(len(body)))
				out = append(out, body...)
			}
			_, _ = st.Write(out)
			var m runtime.MemStats
			for late := time.Now().Add(20 * time.Second); ; { // the methods' own memory goes when they have run
				time.Sleep(2 * time.Second)
				runtime.GC()
				runtime.ReadMemStats(&m)
				if m.HeapAlloc <= 200<<20 {
					break
				}
				if time.Now().After(late) {
					t.Fatalf("%d bytes asked, %d MiB held", len(out), m.HeapAlloc>>20)
				}
			}
		})
	}
}
