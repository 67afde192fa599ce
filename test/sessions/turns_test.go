package sessions_test

import (
	"context"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Nothing is sent of a call whose context ends while it waits for its turn, and it says so.
func TestCallThatWaitsForItsTurnIsUnsent(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	svc := rig.NewHolder()
	s := rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1}))
	stream := rpc.NewServerStream[int, int]("Svc", "Stream")
	if err := stream.Handle(s, func(context.Context, int, *rpc.Sender[int]) error { return nil }); err != nil {
		t.Fatal(err)
	}
	c := rig.Client(t, a)
	rig.Multiplies(t, c, b.ID()) // the client knows the limit
	held := rig.InBackground(func() error {
		return c.CallContext(rig.Context(t), b.ID(), "Svc", "Hold", struct{}{}, new(struct{}))
	})
	rig.Take(t, "the method has the place", svc.Started)
	hold := rpc.NewMethod[struct{}, struct{}]("Svc", "Hold")
	for name, call := range map[string]func(context.Context) error{
		"by name": func(ctx context.Context) error {
			return c.CallContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{}))
		},
		"typed": func(ctx context.Context) error {
			_, err := hold.Call(ctx, c, b.ID(), struct{}{})
			return err
		},
		"Go": func(ctx context.Context) error {
			done := make(chan *rpc.Call, 1)
			if err := c.GoContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{}), done); err != nil {
				return err
			}
			return rig.Take(t, "the call ends", done).Error
		},
		"stream": func(ctx context.Context) error {
			for _, err := range stream.Call(ctx, c, b.ID(), 1) {
				return err
			}
			return nil
		},
	} {
		ctx, cancel := context.WithTimeout(rig.Context(t), 50*time.Millisecond)
		if err := call(ctx); rpc.CodeOf(err) != codes.DeadlineExceeded || !rig.Unsent(err) {
			t.Errorf("%s: unsent %v: %v", name, rig.Unsent(err), err)
		}
		cancel()
	}
	// Attempts that waited in vain are made again, though the method is not idempotent.
	last := rig.InBackground(func() error {
		_, err := hold.Call(rig.Context(t), c, b.ID(), struct{}{},
			rpc.CallRetry(rpc.RetryPolicy{Attempts: 1000, Backoff: time.Millisecond, MaxBackoff: time.Millisecond, AttemptTimeout: 50 * time.Millisecond}))
		return err
	})
	rig.Eventually(t, "an attempt was made again", func() bool { return c.State().Retries > 0 })
	svc.Release <- struct{}{}
	if err := rig.Take(t, "the first call ends", held); err != nil {
		t.Error(err)
	}
	rig.Take(t, "the call that has waited has the place", svc.Started)
	svc.Release <- struct{}{}
	if err := rig.Take(t, "it ends", last); err != nil && rpc.CodeOf(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}
