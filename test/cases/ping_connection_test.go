package cases_test

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Two connections, of which the one with more streams is dead. What is on the
// other is judged by the other. (via is via_test.go's.)
func TestPingOnTheCallsOwnConnection(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]bool{"calls on the living": false, "calls on the dead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
			a, b, twin := rpctest.LoopbackHosts(t, 1)[0], rpctest.LoopbackHosts(t, 1, libp2p.Identity(key))[0], rpctest.LoopbackHosts(t, 1, libp2p.Identity(key))[0]
			method := rpc.NewServerStream[int, int]("S", "Watch")
			begun := make(chan struct{}, 1)
			for _, h := range []host.Host{b, twin} {
				_ = method.Handle(rpc.NewServer(h, "/p"), func(ctx context.Context, _ int, _ *rpc.Sender[int]) error {
					begun <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				})
			}
			var mu, never sync.RWMutex
			first, second := &never, &mu
			if dead {
				first, second = second, first
			}
			a.Peerstore().AddAddrs(b.ID(), via(t, b, first), time.Hour)
			twin.Peerstore().AddAddrs(a.ID(), via(t, a, second), time.Hour)
			client := rpc.NewClient(a, "/p", rpc.WithClientLimits(rpc.Limits{SilenceTimeout: 2 * time.Second}))
			ended := make(chan error, 1)
			go func() {
				for _, err := range method.Call(context.Background(), client, b.ID(), 1) {
					ended <- err
				}
			}()
			<-begun
			st, _ := twin.NewStream(context.Background(), a.ID(), "/ipfs/ping/1.0.0") // the second connection
			for range 4 {
				_, _ = st.Conn().NewStream(context.Background())
			}
			for len(a.Network().ConnsToPeer(b.ID())) < 2 {
				time.Sleep(time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			over := false
			select {
			case <-ended:
				over = true
			case <-time.After(8 * time.Second): // 4 times SilenceTimeout
			}
			if over != dead {
				t.Error("the call's own connection is dead:", dead, "and it was ended:", over)
			}
		})
	}
}
