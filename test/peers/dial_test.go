package peers_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestContextEndsWhileDialling(t *testing.T) {
	t.Parallel()
	hole := rig.BlackHole(t)
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for what, want := range map[string]error{"deadline": context.DeadlineExceeded, "cancel": context.Canceled} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				endsWhileDialling(t, tr, hole, want)
			})
		}
	})
}

func endsWhileDialling(t *testing.T, tr rig.Transport, addr multiaddr.Multiaddr, want error) {
	h := rig.NewHost(t)
	c := tr.Client(t, h)
	for _, streaming := range []bool{false, true} {
		dest := coretest.RandPeerIDFatal(t)
		h.Peerstore().AddAddr(dest, addr, peerstore.PermanentAddrTTL)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if want == context.Canceled {
			cancel()
			ctx, cancel = context.WithCancel(context.Background())
			time.AfterFunc(100*time.Millisecond, cancel)
		}
		replies := make(chan int)
		err := rig.Take(t, "the call returns", rig.InBackground(func() error {
			if streaming {
				return c.Stream(ctx, dest, "Svc", "M", make(chan int), replies)
			}
			return c.CallContext(ctx, dest, "Svc", "M", 1, new(int))
		}))
		cancel()
		rig.CheckEnded(t, err, want, "Svc.M")
		if !rig.Unsent(err) {
			t.Errorf("the request may have been sent: %v", err)
		}
		if streaming {
			if _, open := rig.Take2(t, replies); open {
				t.Error("replies are open")
			}
		}
	}
}

func TestUnreachablePeerIsUnavailable(t *testing.T) {
	t.Parallel()
	h := rig.NewHost(t)
	c := rig.Client(t, h)
	dest := coretest.RandPeerIDFatal(t)
	h.Peerstore().AddAddr(dest, rig.ClosedPort(t), peerstore.PermanentAddrTTL)
	err := c.Call(dest, "Svc", "M", 1, new(int))
	rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.M", dest.String())
	if n := strings.Count(err.Error(), "peer "+dest.String()); n != 1 { // libp2p says it in words of its own
		t.Errorf("names the peer %d times: %v", n, err)
	}
}

func TestCloseEndsCallsThatAreDialling(t *testing.T) {
	t.Parallel()
	hole := rig.BlackHole(t)
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		h := rig.NewHost(t)
		c := tr.Client(t, h)
		dest := coretest.RandPeerIDFatal(t)
		h.Peerstore().AddAddr(dest, hole, peerstore.PermanentAddrTTL)
		const calls = 3 // of which one dials
		errs := make(chan error, calls)
		for range calls {
			go func() { errs <- c.CallContext(context.Background(), dest, "Svc", "M", 1, new(int)) }()
		}
		rig.Eventually(t, "the peer is dialled", func() (dialled bool) {
			_ = h.Network().ResourceManager().ViewSystem(func(scope network.ResourceScope) error {
				dialled = scope.Stat().NumConnsOutbound > 0
				return nil
			})
			return dialled
		})
		_ = c.Close()
		for range calls {
			err := rig.Take(t, "the call returns", errs)
			rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.M", "closed")
			if !rig.Unsent(err) || errors.Is(err, context.Canceled) {
				t.Errorf("the request was not sent, and nobody cancelled it: %v", err)
			}
		}
	})
}

// newPeer returns the ID of a host that is no longer.
func newPeer(t *testing.T) peer.ID {
	h := rig.NewHost(t)
	defer h.Close()
	return h.ID()
}

// A peer that is connected, but does not answer when a stream is opened.
func TestContextEndsWhileNegotiating(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		over := make(chan struct{})
		t.Cleanup(func() { close(over) })
		b.Network().SetStreamHandler(func(st network.Stream) {
			defer st.Reset()
			<-over
		})
		if err := a.Peerstore().SetProtocols(b.ID()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		err := tr.Client(t, a).CallContext(ctx, b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestUnknownPeerIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := tr.Client(t, rig.NewHost(t))
		if err := c.Call(newPeer(t), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int)); rpc.CodeOf(err) != codes.Unavailable || !rpc.IsClientError(err) {
			t.Error(err)
		}
	})
}
