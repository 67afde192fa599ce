package cases_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// A peer that cannot be reached the first time and can be soon after: a call that
// is retried asks more than once whether it can.
func TestRetriesDial(t *testing.T) {
	t.Parallel()
	hosts := rpctest.LoopbackHosts(t, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var dials atomic.Int32
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if dials.Add(1) == 2 {
				cancel() // that will do
			}
			c.Close()
		}
	}()
	addr, err := manet.FromNetAddr(listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	away := rpctest.MemoryHosts(t, 1)[0].ID()
	hosts[0].Peerstore().AddAddrs(away, []ma.Multiaddr{addr}, time.Hour)
	client := rpc.NewClient(hosts[0], "/p")
	method := rpc.NewMethod[int, int]("S", "M", rpc.CallRetry(rpc.RetryPolicy{Attempts: 5}))
	_, err = method.Call(ctx, client, away, 1)
	if n := dials.Load(); n < 2 {
		t.Errorf("5 attempts dialled %d time: %v", n, err)
	}
}
