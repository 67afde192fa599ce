package cases_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A stream's clean end is io.EOF. When the connection breaks under a stream,
// its error wraps what the muxer said, and over TCP and WebSocket that wraps
// io.EOF: who writes errors.Is(err, io.EOF) takes a part for the whole.
func TestABrokenStreamIsNoEOF(t *testing.T) {
	t.Parallel()
	numbers := rpc.NewDuplex[int, int]("Svc", "Numbers")
	for _, addr := range []string{"/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0"} {
		wrong := 0
		for range 10 {
			a, _ := libp2p.New(libp2p.ListenAddrStrings(addr))
			b, _ := libp2p.New(libp2p.ListenAddrStrings(addr))
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			numbers.Handle(rpc.NewServer(a, "/p/1"), func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
				_ = out.Send(ctx, 1)
				<-ctx.Done() // more was to come
				return ctx.Err()
			})
			if err := b.Connect(ctx, peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()}); err != nil {
				t.Fatal(err)
			}
			call := numbers.Open(ctx, rpc.NewClient(b, "/p/1"), a.ID())
			if _, err := call.Receive(ctx); err != nil {
				t.Fatal(err)
			}
			a.Close()
			_, err := call.Receive(ctx)
			if err == nil || err == io.EOF {
				t.Fatalf("got %v", err)
			}
			if errors.Is(err, io.EOF) {
				wrong++
				t.Logf("%s: %v", addr, err)
			}
			b.Close()
			cancel()
		}
		if wrong > 0 {
			t.Errorf("%s: %d of 10 broken streams end with an error that is io.EOF", addr, wrong)
		}
	}
}
