package cases_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// As many idle streams as QUIC allows, to a peer that lives: none is ended for
// its silence.
func TestPingWithoutRoomForAStream(t *testing.T) {
	t.Parallel()
	var hosts []host.Host
	for range 2 {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		hosts = append(hosts, h)
	}
	rpctest.Connect(t, hosts...)
	server := rpc.NewServer(hosts[0], "/p")
	events := rpc.NewServerStream[int, int]("Events", "Watch")
	if err := events.Handle(server, func(ctx context.Context, _ int, out *rpc.Sender[int]) error {
		_ = out.Send(ctx, 1)
		<-ctx.Done()
		return ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(hosts[1], "/p", rpc.WithClientLimits(rpc.Limits{SilenceTimeout: 2 * time.Second}))
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	var all sync.WaitGroup
	errs := make(chan error, 256)
	for range 256 {
		all.Go(func() {
			for _, err := range events.Call(ctx, client, hosts[0].ID(), 0) {
				if err != nil && ctx.Err() == nil {
					errs <- err
				}
			}
		})
	}
	all.Wait()
	if n := len(errs); n > 0 {
		t.Errorf("%d of 256 calls were ended: %v", n, <-errs)
	}
}
