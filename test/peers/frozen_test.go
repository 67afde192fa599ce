package peers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// TestCallsOfAFrozenPeerEnd has calls of all kinds: those that wait for a reply when the
// peer freezes, those that begin later, and the first of all, for which a stream is to be
// opened. Each ends within 1.25 times SilenceTimeout.
func TestCallsOfAFrozenPeerEnd(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, when := range []string{"under way", "later", "first"} {
			t.Run(when, func(t *testing.T) {
				t.Parallel()
				callFrozen(t, tr, when)
			})
		}
	})
}

func callFrozen(t *testing.T, tr rig.Transport, when string) {
	a, b := rig.NewHost(t), rig.NewHost(t)
	link := rig.NewLink(t, b)
	if err := a.Connect(rig.Context(t), peer.AddrInfo{ID: b.ID(), Addrs: []multiaddr.Multiaddr{link.Addr}}); err != nil {
		t.Fatal(err)
	}
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 10)}
	rig.Serve(t, b, svc)
	silence := rig.Slower(3 * time.Second)
	c := tr.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
	ctx := rig.Context(t)
	typed := rpc.NewMethod[struct{}, int]("Svc", "Block")
	large := rpc.NewMethod[[]byte, int]("Svc", "None")
	watch := rpc.NewServerStream[int, int]("Svc", "Wait")
	calls := map[string]func() error{
		"by name": func() error { return c.CallContext(ctx, b.ID(), "Svc", "Block", struct{}{}, new(int)) },
		"typed":   func() error { _, err := typed.Call(ctx, c, b.ID(), struct{}{}); return err },
		"stream": func() error {
			return c.Stream(ctx, b.ID(), "Svc", "Wait", make(chan int), make(chan int))
		},
		"typed stream": func() (err error) {
			for _, err = range watch.Call(ctx, c, b.ID(), 1) {
			}
			return err
		},
	}
	if when == "later" {
		_ = c.CallContext(ctx, b.ID(), "Svc", "None", 1, new(int)) // opens a session
	}
	if when != "under way" {
		link.Freeze()
		calls["large"] = func() error { _, err := large.Call(ctx, c, b.ID(), make([]byte, 8<<20)); return err }
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
	if when == "under way" {
		for range calls {
			rig.Take(t, "a method runs", svc.Started)
		}
		start = time.Now()
		link.Freeze()
	}
	for range calls {
		e := rig.Take(t, "a call ends", ends)
		took := time.Since(start)
		if rpc.CodeOf(e.err) != codes.Unavailable || took > silence*5/4+rig.Late || when == "under way" && took < silence/2 {
			t.Errorf("%s ends after %v: %v", e.name, took, e.err)
		}
	}
	if n := len(a.Network().ConnsToPeer(b.ID())); n > 0 {
		t.Errorf("the connection is still used: there are %d", n)
	}
}

// A peer that does not serve libp2p's ping is not silent, and its calls go on.
func TestPeerWithoutPingsIsNotSilent(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHost(t), rig.NewHost(t, libp2p.Ping(false))
		rig.Connect(t, a, b)
		svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
		rig.Serve(t, b, svc)
		silence := rig.Slower(time.Second)
		c := tr.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
		ctx, cancel := context.WithTimeout(rig.Context(t), 3*silence)
		defer cancel()
		go func() { <-svc.Started }()
		if err := c.CallContext(ctx, b.ID(), "Svc", "Block", struct{}{}, new(int)); rpc.CodeOf(err) != codes.DeadlineExceeded {
			t.Errorf("the call ends with %v", err)
		}
	})
}

// A peer that answers pings keeps its calls, however long they take.
func TestSlowCallsOfALivingPeerGoOn(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	silence := rig.Slower(time.Second)
	c := rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
	pings := make(chan struct{})
	slow := &slowMethod{pings}
	if err := s.RegisterName("Svc", slow); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- c.Call(b.ID(), "Svc", "Slow", struct{}{}, new(int)) }()
	// Several rounds of pings, as the client's clock has them.
	timer := time.NewTimer(3 * silence)
	defer timer.Stop()
	select {
	case err := <-result:
		t.Fatalf("the call ended: %v", err)
	case <-timer.C:
	}
	close(pings)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

type slowMethod struct{ until chan struct{} }

func (s *slowMethod) Slow(ctx context.Context, _ struct{}, n *int) error {
	select {
	case <-s.until:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cancelled: %w", ctx.Err())
	}
}
