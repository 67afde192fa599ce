package peers_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// TestTrimmingSparesPeersThatAreCalled has the client's connection manager close all
// connections that it may.
func TestTrimmingSparesPeersThatAreCalled(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, spared := range []bool{true, false} {
			manager, err := connmgr.NewConnManager(1, 1, connmgr.WithGracePeriod(0), connmgr.WithSilencePeriod(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			a := rig.NewHost(t, libp2p.ConnectionManager(manager))
			b, other := rig.NewHost(t), rig.NewHost(t)
			rig.Connect(t, a, b)
			rig.Connect(t, a, other)
			manager.TagPeer(other.ID(), "table", 5)
			blocker := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 3)}
			rig.Serve(t, b, blocker)
			c := tr.Client(t, a, rpc.WithConnProtection(spared), rpc.WithClientLimits(rpc.Limits{SilenceTimeout: rig.Slower(3 * time.Second)}))
			ctx, cancel := context.WithCancel(rig.Context(t))
			defer cancel()
			ends := make(chan error, 3)
			typed := rpc.NewMethod[struct{}, int]("Svc", "Block")
			go func() { ends <- c.CallContext(ctx, b.ID(), "Svc", "Block", struct{}{}, new(int)) }()
			go func() { _, err := typed.Call(ctx, c, b.ID(), struct{}{}); ends <- err }()
			go func() { ends <- c.Stream(ctx, b.ID(), "Svc", "Wait", make(chan int), make(chan int)) }()
			for range cap(ends) {
				rig.Take(t, "a method runs", blocker.Started)
			}
			manager.TrimOpenConns(ctx)
			want := codes.Canceled
			if spared {
				cancel()
			} else {
				want = codes.Unavailable
			}
			for range cap(ends) {
				if err := rig.Take(t, "a call ends", ends); rpc.CodeOf(err) != want {
					t.Errorf("spared: %v, and a call ends with %v", spared, err)
				}
			}
			rig.Eventually(t, "the peer is not protected any more", func() bool { return !manager.IsProtected(b.ID(), "") })
		}
	})
}
