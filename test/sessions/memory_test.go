package sessions_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

type Echo struct{}

func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

// Calls whose messages together are more than libp2p grants a stream share
// what it grants: none fails for the others, and nothing is kept.
func TestLargeCallsOfASessionShareItsMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ calls, size int }{{128, 256 << 10}, {48, 1 << 20}, {6, 8 << 20}} {
		t.Run(fmt.Sprintf("%d x %d KiB", c.calls, c.size>>10), func(t *testing.T) {
			a, b := rig.NewHosts(t)
			s := rig.NewServer(t, b)
			client := rig.Client(t, a)
			if err := s.Register(Echo{}); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range c.calls {
				wg.Go(func() {
					in := bytes.Repeat([]byte{byte(i)}, c.size)
					var out []byte
					if err := client.CallContext(rig.Context(t), b.ID(), "Echo", "Bytes", in, &out); err != nil {
						t.Error(err)
					} else if !bytes.Equal(in, out) {
						t.Error("another's reply")
					}
				})
			}
			wg.Wait()
			_ = client.Close()
			_ = s.Close()
			rig.Released(t, a, b)
		})
	}
}

// Calls beyond what a peer may have are refused at once, though it reads
// nothing: they would be without number. Not parallel, for it looks at all
// goroutines.
func TestCallsWithoutASlotDoNotWait(t *testing.T) {
	const most = 40
	a, b := rig.NewHosts(t)
	svc := rig.NewHolder()
	rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: most}))
	request := rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Hold"), rig.Str("Kind"), "\x01\x80")
	session := func() (call func(n int) error) {
		st, id := rig.Open(t, a, b, rig.Sessions), uint64(0)
		rig.Write(t, st, []byte{1, 1}) // settings
		return func(n int) error {
			var frames []byte
			for range n {
				id++
				frame := binary.AppendUvarint([]byte{2}, id)
				frame = append(append(frame, byte(len(request))), request...)
				frames = append(append(frames, byte(len(frame))), frame...)
			}
			_, err := st.Write(frames)
			return err
		}
	}
	if err := session()(most); err != nil {
		t.Fatal(err)
	}
	for range most {
		rig.Take(t, "the peer has all its calls", svc.Started)
	}
	call := session()
	for n := 0; call(most/2) == nil; n++ {
		if n == 1000 {
			t.Fatal("there was no end to it")
		}
		rig.Eventually(t, "the refused calls are over", func() bool {
			serving := 0
			for _, stack := range rig.LibraryGoroutines() {
				if strings.Contains(stack, "(*serverSession).serve(") {
					serving++
				}
			}
			return serving <= most
		})
	}
	for range most {
		svc.Release <- struct{}{}
	}
	rig.Multiplies(t, rig.Client(t, a), b.ID())
}
