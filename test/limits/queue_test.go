package limits_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// hasNoPlace fails the test unless err says that a call waited too long for a place.
func hasNoPlace(t *testing.T, what string, err error, unsent bool) {
	t.Helper()
	var over *rpc.LimitError
	if rpc.CodeOf(err) != codes.ResourceExhausted || !errors.As(err, &over) || over.Limit != "Limits.CallsPerPeer" || rig.Unsent(err) != unsent {
		t.Errorf("%s: unsent: %v: %v", what, rig.Unsent(err), err)
	}
}

// TestCallsWaitForAPlaceForSoLong has a server whose places are taken. Who waits is
// counted, and does not wait for ever.
func TestCallsWaitForAPlaceForSoLong(t *testing.T) {
	t.Parallel()
	holder := rig.NewHolder()
	const patience = time.Second
	s := rig.Session.With(t, holder, rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1})},
		Client: []rpc.ClientOption{rpc.WithClientLimits(rpc.Limits{QueueTimeout: patience})},
	})
	ctx := rig.Context(t)
	if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", &rig.Args{A: 1, B: 1}, new(int)); err != nil { // the session is there
		t.Fatal(err)
	}
	held := rig.InBackground(func() error {
		return s.Client.CallContext(ctx, s.Dest, "Svc", "Hold", struct{}{}, new(struct{}))
	})
	rig.Take(t, "the place is taken", holder.Started)
	calls := map[string]func() error{
		"by name": func() error {
			return s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", &rig.Args{}, new(int))
		},
		"go": func() error {
			done := make(chan *rpc.Call, 1)
			if err := s.Client.GoContext(ctx, s.Dest, "Svc", "Multiply", &rig.Args{}, new(int), done); err != nil {
				return err
			}
			return (<-done).Error
		},
		"typed": func() error { _, err := rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, &rig.Args{}); return err },
		"stream": func() error {
			return s.Client.Stream(ctx, s.Dest, "Svc", "Divides", make(chan rig.Args), make(chan rig.Quotient))
		},
		"typed stream": func() (err error) {
			for _, err = range rpc.NewServerStream[rig.Args, rig.Quotient]("Svc", "Divides").Call(ctx, s.Client, s.Dest, rig.Args{}) {
			}
			return err
		},
	}
	type end struct {
		name string
		err  error
	}
	ends := make(chan end, len(calls))
	start := time.Now()
	for name, call := range calls {
		go func() { ends <- end{name, call()} }()
	}
	rig.Eventually(t, "all of them wait", func() bool { return s.Client.Waiting()[s.Dest] == len(calls) })
	for range calls {
		e := rig.Take(t, "a call ends", ends)
		hasNoPlace(t, e.name, e.err, true)
		if took := time.Since(start); took < patience {
			t.Errorf("%s ends after %v", e.name, took)
		}
	}
	if w := s.Client.Waiting(); len(w) > 0 {
		t.Errorf("%v still wait", w)
	}
	holder.Release <- struct{}{}
	if err := rig.Take(t, "the call ends that has the place", held); err != nil {
		t.Error(err)
	}
	if _, err := rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, &rig.Args{A: 6, B: 7}); err != nil {
		t.Errorf("when there is a place again: %v", err)
	}
}

// caller has a method that calls the other peer back, so many times in all.
type caller struct {
	client *rpc.Client
	other  peer.ID
	full   chan struct{} // closed when as many calls are under way as each side takes
	begun  chan struct{}
}

func (c *caller) Back(ctx context.Context, depth int, _ *int) error {
	c.begun <- struct{}{}
	<-c.full
	if depth == 0 {
		return nil
	}
	return c.client.CallContext(ctx, c.other, "Svc", "Back", depth-1, new(int))
}

// TestCallsThatCallBackEnd: each call holds its place while the method calls back, until
// there are no places left on either side, and all wait for each other.
func TestCallsThatCallBackEnd(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		const places = 4
		a, b := rig.NewHosts(t)
		full, begun := make(chan struct{}), make(chan struct{}, 100)
		few := rpc.WithServerLimits(rpc.Limits{CallsPerPeer: places})
		short := rpc.WithClientLimits(rpc.Limits{QueueTimeout: time.Second})
		ofA, ofB := tr.Client(t, a, short), tr.Client(t, b, short)
		rig.Serve(t, a, &caller{ofA, b.ID(), full, begun}, few)
		rig.Serve(t, b, &caller{ofB, a.ID(), full, begun}, few)
		ends := make(chan error, 2*places)
		for range places {
			go func() { ends <- ofA.CallContext(rig.Context(t), b.ID(), "Svc", "Back", 100, new(int)) }()
			go func() { ends <- ofB.CallContext(rig.Context(t), a.ID(), "Svc", "Back", 100, new(int)) }()
		}
		for range cap(ends) {
			rig.Take(t, "a method runs", begun)
		}
		close(full)
		for range cap(ends) {
			hasNoPlace(t, "a call", rig.Take(t, "a call ends", ends), false)
		}
	})
}
