package rpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestContextThatEndsWhileDiallingIsToldAsSuch(t *testing.T) {
	t.Parallel()
	h := rig.NewHost(t)
	c := rig.Client(t, h)
	hole := rig.BlackHole(t)
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		for _, streaming := range []bool{false, true} {
			dest := coretest.RandPeerIDFatal(t)
			h.Peerstore().AddAddr(dest, hole, peerstore.PermanentAddrTTL)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			if what == "canceled" {
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
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v", what, err)
			}
			rig.CheckErr(t, err, rpc.ClientErr, rpc.CodeOf(want), "Svc.M")
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
}

func TestUnreachablePeerIsUnavailable(t *testing.T) {
	t.Parallel()
	h := rig.NewHost(t)
	c := rig.Client(t, h)
	dest := coretest.RandPeerIDFatal(t)
	h.Peerstore().AddAddr(dest, rig.ClosedPort(t), peerstore.PermanentAddrTTL)
	err := c.Call(dest, "Svc", "M", 1, new(int))
	rig.CheckErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.M", dest.String())
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
			rig.CheckErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.M", "closed")
			if !rig.Unsent(err) || errors.Is(err, context.Canceled) {
				t.Errorf("the request was not sent, and nobody cancelled it: %v", err)
			}
		}
	})
}
