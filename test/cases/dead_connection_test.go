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

// A peer is back, on a connection that it has made; the old one is dead.
func TestCallsLeaveADeadConnection(t *testing.T) {
	t.Parallel()
	key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
	a, b, back := rpctest.LoopbackHosts(t, 1)[0], rpctest.LoopbackHosts(t, 1, libp2p.Identity(key))[0], rpctest.LoopbackHosts(t, 1, libp2p.Identity(key))[0]
	method := rpc.NewMethod[int, int]("S", "M", rpc.CallTimeout(time.Second))
	for _, h := range []host.Host{b, back} {
		_ = method.Handle(rpc.NewServer(h, "/p"), func(_ context.Context, i int) (int, error) { return i, nil })
	}
	var mu sync.RWMutex
	a.Peerstore().AddAddrs(b.ID(), via(t, b, &mu), time.Hour)
	client := rpc.NewClient(a, "/p", rpc.WithClientLimits(rpc.Limits{SilenceTimeout: 2 * time.Second}))
	bg := context.Background()
	_, err := method.Call(bg, client, b.ID(), 1)
	for range 4 {
		_, _ = a.NewStream(bg, b.ID(), "/ipfs/ping/1.0.0") // others use it too
	}
	mu.Lock()
	defer mu.Unlock()
	rpctest.Connect(t, a, back) // which dials
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		if _, err = method.Call(bg, client, b.ID(), 1); err == nil {
			return
		}
	}
	t.Errorf("5 times SilenceTimeout, with %d connections: %v", len(a.Network().ConnsToPeer(b.ID())), err)
}
