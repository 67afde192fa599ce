package sessions_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// A client that has too many sessions makes its calls on streams of their own.
func TestCallsBeyondTheLastSession(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, rig.Arith{})
	for range 70 {
		rig.Multiplies(t, rig.Client(t, a), b.ID())
	}
	// A session that was refused may still be closing.
	rig.Eventually(t, "64 sessions", func() bool { return rig.SessionsAt(b) == 64 })
}

// Calls above what the server takes at once wait for their turn, under their
// contexts, and none is refused.
func TestCallsAboveTheServersLimitWait(t *testing.T) {
	t.Parallel()
	const most = 2
	a, b := rig.NewHosts(t)
	svc := rig.NewHolder()
	rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: most}))
	c := rig.Client(t, a)
	rig.Multiplies(t, c, b.ID()) // the client knows the limit
	results := make(chan error, 20)
	for range cap(results) {
		go func() { results <- c.CallContext(rig.Context(t), b.ID(), "Svc", "Hold", struct{}{}, new(struct{})) }()
	}
	for range most {
		rig.Take(t, "as many as may run", svc.Started)
	}
	// One more waits, and ends with its context.
	ctx, cancel := context.WithTimeout(rig.Context(t), 100*time.Millisecond)
	defer cancel()
	if err := c.CallContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{})); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	for range cap(results) {
		svc.Release <- struct{}{}
	}
	for range cap(results) {
		if err := rig.Take(t, "a call ends", results); err != nil {
			t.Error(err)
		}
	}
	if n := svc.Most.Load(); n != most {
		t.Errorf("%d at once", n)
	}
	if n := len(svc.Started); n != cap(results)-most {
		t.Errorf("%d more have run", n)
	}
}

// One call after the other never meets the limit of one at a time: when a reply
// arrives its call is over.
func TestOneCallAfterTheOtherIsOneAtATime(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, rig.Giver{}, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1}))
	c := rig.Client(t, a)
	for i := range 2000 {
		var reply []byte
		size := i % 100
		if i%50 == 0 {
			size = 100 << 10
		}
		if err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Give", size, &reply); err != nil || len(reply) != size {
			t.Fatalf("call %d: %d bytes, %v", i, len(reply), err)
		}
	}
}

// Calls that were given up keep their places, and others wait for them.
func TestCancelledCallsKeepTheirPlacesOnASession(t *testing.T) {
	t.Parallel()
	const most = 4
	a, b := rig.NewHosts(t)
	svc := rig.NewHolder()
	rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: most}))
	c := rig.Client(t, a)
	rig.Multiplies(t, c, b.ID())
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(rig.Context(t), 50*time.Millisecond)
			defer cancel()
			if err := c.CallContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{})); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := svc.Running.Load(); n != most {
		t.Errorf("%d run", n)
	}
	for range most {
		svc.Release <- struct{}{}
	}
	rig.Multiplies(t, c, b.ID())
	if n := len(svc.Started); n != most {
		t.Errorf("%d have run", n)
	}
}

// When Shutdown returns, all clients have all replies: the host can be closed,
// and every call that ran is answered.
func TestHostMayBeClosedAfterShutdown(t *testing.T) {
	t.Parallel()
	for name, addr := range rig.Muxers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				a, b := rig.NewHostsOn(t, addr)
				svc := &rig.Ledger{Ran: make(map[int]int)}
				s := rig.Serve(t, b, svc)
				c := rig.Client(t, a)
				var made, answered atomic.Int64
				enough := make(chan struct{})
				var once sync.Once
				var wg sync.WaitGroup
				ctx, cancel := context.WithCancel(rig.Context(t))
				for range 32 {
					wg.Go(func() {
						for {
							var reply int
							if c.CallContext(ctx, b.ID(), "Svc", "Note", int(made.Add(1)), &reply) != nil {
								return
							}
							if answered.Add(1) > 2000 {
								once.Do(func() { close(enough) })
							}
						}
					})
				}
				rig.Take(t, "many calls were answered", enough)
				if err := s.Shutdown(rig.Context(t)); err != nil {
					t.Error(err)
				}
				_ = b.Close()
				cancel() // of dialling
				wg.Wait()
				svc.Mu.Lock()
				if n := int64(len(svc.Ran)); n != answered.Load() {
					t.Errorf("%d calls ran, and %d were answered", n, answered.Load())
				}
				svc.Mu.Unlock()
			}
		})
	}
}
