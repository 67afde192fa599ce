package cases_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// The connection manager trims idle connections, and not those with calls.
func TestTrimmingSparesCalls(t *testing.T) {
	t.Parallel()
	manager, err := connmgr.NewConnManager(10, 100, connmgr.WithGracePeriod(0), connmgr.WithSilencePeriod(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	host, err := libp2p.New(libp2p.ConnectionManager(manager), libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	client := rpc.NewClient(host, "/p")
	method := rpc.NewMethod[int, int]("S", "Slow")
	ended, begun, release := make(chan error, 15), make(chan struct{}, 15), make(chan struct{})
	for i := range 15 {
		other := rpctest.LoopbackHosts(t, 1)[0]
		rpctest.Connect(t, host, other)
		if i >= 5 { // in a table of some other protocol's
			manager.TagPeer(other.ID(), "table", 5)
			continue
		}
		server := rpc.NewServer(other, "/p")
		if err := method.Handle(server, func(ctx context.Context, i int) (int, error) {
			begun <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return i, ctx.Err()
		}); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := method.Call(context.Background(), client, other.ID(), i)
			ended <- err
		}()
	}
	for range 5 {
		<-begun
	}
	manager.TrimOpenConns(context.Background())
	close(release)
	for range 5 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
