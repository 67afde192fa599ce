package sessions_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// TestCallsThatWaitForAnOpeningEndWithIt: they began together, and end together, with
// the error of the one that opens.
func TestCallsThatWaitForAnOpeningEndWithIt(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHost(t), rig.NewHost(t)
	a.Peerstore().AddAddrs(b.ID(), []multiaddr.Multiaddr{rig.BlackHole(t)}, peerstore.PermanentAddrTTL)
	c := rig.Session.Client(t, a)
	const patience = 2 * time.Second
	ctx := network.WithDialPeerTimeout(context.Background(), patience)
	typed := rpc.NewMethod[int, int]("Svc", "M")
	calls := []func() error{
		func() error { return c.CallContext(ctx, b.ID(), "Svc", "M", 1, new(int)) },
		func() error { _, err := typed.Call(ctx, c, b.ID(), 1); return err },
		func() error { return c.Stream(ctx, b.ID(), "Svc", "M", make(chan int), make(chan int)) },
	}
	start := time.Now()
	var group sync.WaitGroup
	for i := range 300 {
		group.Go(func() {
			err := calls[i%len(calls)]()
			if took := time.Since(start); took > 3*patience+rig.Late || rpc.CodeOf(err) != codes.Unavailable || !rig.Unsent(err) || !errors.As(err, new(*rpc.DialError)) {
				t.Errorf("call %d ends after %v: %v", i, took, err)
			}
		})
	}
	group.Wait()
}
