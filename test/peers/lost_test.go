package peers_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestKilledPeerEndsItsCalls(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for mux, addr := range rig.Muxers {
			for _, how := range []string{"host closed", "connection closed"} {
				t.Run(mux+"/"+how, func(t *testing.T) {
					t.Parallel()
					times := make([]time.Duration, 5)
					for i := range times {
						times[i] = killPeer(t, tr, rig.NewHostOn(t, addr), rig.NewHostOn(t, addr), how)
					}
					// A tenth of that, but that other tests run beside. Who
					// waited for a time to pass would wait for seconds.
					rig.UsuallyWithin(t, "the calls are over", time.Second, times)
				})
			}
		}
	})
}

// killPeer makes calls from a that wait in b, and ends b, or its connection. It
// returns how long the calls went on.
func killPeer(t *testing.T, tr rig.Transport, a, b host.Host, how string) time.Duration {
	rig.Connect(t, a, b)
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 2)}
	rig.Serve(t, b, svc)
	c := tr.Client(t, a)
	results := make(chan error, 2)
	go func() { results <- c.Call(b.ID(), "Svc", "Block", struct{}{}, new(int)) }()
	rig.Take(t, "a method runs", svc.Started)
	go func() {
		results <- c.Stream(context.Background(), b.ID(), "Svc", "Wait", make(chan int), make(chan int))
	}()
	rig.Take(t, "both run", svc.Started)
	start := time.Now()
	if how == "host closed" {
		go func() { _ = b.Close() }()
	} else {
		_ = b.Network().ClosePeer(a.ID())
	}
	for range 2 {
		if err := rig.Take(t, "a call is over", results); rpc.CodeOf(err) != codes.Unavailable || !rpc.IsClientError(err) {
			t.Errorf("the caller gets %v", err)
		}
	}
	took := time.Since(start)
	for range 2 {
		if err := rig.Take(t, "a method is told", svc.Ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the method gets %v", err)
		}
	}
	rig.Released(t, a)
	return took
}

// holdTally counts its calls, and keeps those of Hold until their caller is gone.
type holdTally struct {
	rig.Arith
	held    atomic.Int32
	started chan struct{}
}

func (s *holdTally) Hold(ctx context.Context, _ struct{}, _ *int) error {
	s.held.Add(1)
	s.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func TestCallOfARestartedPeerReconnects(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		rig.Serve(t, b, rig.Arith{})
		c := tr.Client(t, a)
		rig.Multiplies(t, c, b.ID())
		b = rig.Restart(t, a, b)
		rig.Serve(t, b, rig.Arith{})
		rig.Multiplies(t, c, b.ID())
	})
}

func TestRequestThatLeftIsNotSentAgain(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		before := &holdTally{started: make(chan struct{}, 2)}
		rig.Serve(t, b, before)
		c := tr.Client(t, a)
		result := make(chan error, 1)
		go func() { result <- c.Call(b.ID(), "Svc", "Hold", struct{}{}, new(int)) }()
		rig.Take(t, "the method begins", before.started)
		b = rig.Restart(t, a, b)
		after := &holdTally{started: make(chan struct{}, 2)}
		rig.Serve(t, b, after)
		if err := <-result; rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		rig.Multiplies(t, c, b.ID())
		if n, m := before.held.Load(), after.held.Load(); n != 1 || m != 0 {
			t.Errorf("it ran %d times before the restart and %d after", n, m)
		}
	})
}

// libp2p remembers what a peer served before it became one of v0.6.
func TestPeerThatIsNowOfV06IsStillCalled(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	var requests atomic.Int32
	rig.Play(b, len(rig.Header("Svc", "Multiply"))+7, func(st network.Stream) {
		requests.Add(1)
		_, _ = st.Write([]byte(ok + "\x06"))
	})
	c := rig.Wire.Client(t, a)
	rig.Eventually(t, "the peers know each other's protocols", func() bool {
		known, err := a.Peerstore().SupportsProtocols(b.ID(), rig.Protocol)
		return err == nil && len(known) == 1
	})
	if err := a.Peerstore().AddProtocols(b.ID(), rig.Extended); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := c.Call(b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 || requests.Load() != 1 {
		t.Errorf("got %d, %v after %d requests", n, err, requests.Load())
	}
	if err := a.Peerstore().AddProtocols(b.ID(), rig.Extended); err != nil {
		t.Fatal(err)
	}
	err := rig.Promptly(t, func(ctx context.Context) error {
		return c.Stream(ctx, b.ID(), "Svc", "Divides", make(chan rig.Args), make(chan rig.Quotient))
	})
	if err == nil {
		t.Errorf("streaming: %v", err)
	}
	rig.Released(t, a, b)
}

// Many broken servers at once do no harm to one another's callers.
func TestGarbageServersBesideAnHonestOne(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		honest := rig.NewHost(t)
		rig.Connect(t, a, honest)
		rig.Serve(t, honest, rig.Arith{})
		say(b, 0, string(bytes.Repeat([]byte{0xc1}, 1000)))
		c := tr.Client(t, a)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					if err := c.Call(b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int)); err == nil {
						t.Error("garbage is a reply")
					}
				}
			})
		}
		for range 20 {
			rig.Multiplies(t, c, honest.ID())
		}
		wg.Wait()
		_ = c.Close()
		rig.Released(t, a, b, honest)
	})
}
