package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// newPeer returns the ID of a host that is no longer.
func newPeer(t *testing.T) peer.ID {
	h := newHost(t)
	defer h.Close()
	return h.ID()
}

func TestContextEndsWhileDialling(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		addr := multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port))
		for what, makeCtx := range map[string]func() (context.Context, context.CancelFunc){
			"deadline": func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), 200*time.Millisecond)
			},
			"cancel": func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(200*time.Millisecond, cancel)
				return ctx, cancel
			},
		} {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				want := map[string]error{"deadline": context.DeadlineExceeded, "cancel": context.Canceled}[what]
				code := map[string]rpc.Code{"deadline": rpc.CodeDeadlineExceeded, "cancel": rpc.CodeCanceled}[what]
				a := newHost(t)
				c := tr.client(t, a)
				dest := newPeer(t)
				a.Peerstore().AddAddr(dest, addr, peerstore.PermanentAddrTTL)
				ctx, cancel := makeCtx()
				defer cancel()
				if err := c.CallContext(ctx, dest, "Svc", "Multiply", Args{2, 3}, new(int)); !errors.Is(err, want) || rpc.CodeOf(err) != code {
					t.Errorf("unary: %v", err)
				}
				ctx, cancel = makeCtx()
				defer cancel()
				replies := make(chan Quotient)
				if err := c.Stream(ctx, dest, "Svc", "Divides", make(chan Args), replies); !errors.Is(err, want) || rpc.CodeOf(err) != code {
					t.Errorf("streaming: %v", err)
				}
				if _, open := <-replies; open {
					t.Error("the replies are open")
				}
			})
		}
	})
}

// A peer that is connected, but does not answer when a stream is opened.
func TestContextEndsWhileNegotiating(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		a, b := newHosts(t)
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
		err := tr.client(t, a).CallContext(ctx, b.ID(), "Svc", "Multiply", Args{2, 3}, new(int))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestUnknownPeerIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		c := tr.client(t, newHost(t))
		if err := c.Call(newPeer(t), "Svc", "Multiply", Args{2, 3}, new(int)); rpc.CodeOf(err) != rpc.CodeUnavailable || !rpc.IsClientError(err) {
			t.Error(err)
		}
	})
}

func TestKilledPeerEndsItsCalls(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		for mux, addr := range muxers {
			for _, how := range []string{"host closed", "connection closed"} {
				t.Run(mux+"/"+how, func(t *testing.T) {
					t.Parallel()
					times := make([]time.Duration, 5)
					for i := range times {
						times[i] = killPeer(t, tr, newHostOn(t, addr), newHostOn(t, addr), how)
					}
					// A tenth of that, but that other tests run beside. Who
					// waited for a time to pass would wait for seconds.
					usuallyWithin(t, "the calls are over", time.Second, times)
				})
			}
		}
	})
}

// killPeer makes calls from a that wait in b, and ends b, or its connection. It
// returns how long the calls went on.
func killPeer(t *testing.T, tr transport, a, b host.Host, how string) time.Duration {
	connect(t, a, b)
	svc := &blocker{started: make(chan struct{}), ended: make(chan error, 2)}
	serve(t, b, svc)
	c := tr.client(t, a)
	results := make(chan error, 2)
	go func() { results <- c.Call(b.ID(), "Svc", "Block", struct{}{}, new(int)) }()
	take(t, "a method runs", svc.started)
	go func() {
		results <- c.Stream(context.Background(), b.ID(), "Svc", "Wait", make(chan int), make(chan int))
	}()
	take(t, "both run", svc.started)
	start := time.Now()
	if how == "host closed" {
		go func() { _ = b.Close() }()
	} else {
		_ = b.Network().ClosePeer(a.ID())
	}
	for range 2 {
		if err := take(t, "a call is over", results); rpc.CodeOf(err) != rpc.CodeUnavailable || !rpc.IsClientError(err) {
			t.Errorf("the caller gets %v", err)
		}
	}
	took := time.Since(start)
	for range 2 {
		if err := take(t, "a method is told", svc.ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the method gets %v", err)
		}
	}
	released(t, a)
	return took
}

// holdTally counts its calls, and keeps those of Hold until their caller is gone.
type holdTally struct {
	Arith
	held    atomic.Int32
	started chan struct{}
}

func (s *holdTally) Hold(ctx context.Context, _ struct{}, _ *int) error {
	s.held.Add(1)
	s.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// restart closes b and returns a host with its key and address, when a has seen
// the connection go: a request that is written before can have arrived, as far
// as anyone knows.
func restart(t *testing.T, a, b host.Host) host.Host {
	t.Helper()
	key, addr := b.Peerstore().PrivKey(b.ID()), b.Addrs()[0].String()
	_ = b.Close()
	eventually(t, "the connection is gone", func() bool { return len(a.Network().ConnsToPeer(b.ID())) == 0 })
	h := newHostOn(t, addr, libp2p.Identity(key))
	if h.ID() != b.ID() {
		t.Fatal("another peer")
	}
	return h
}

func TestCallOfARestartedPeerReconnects(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		a, b := newHosts(t)
		serve(t, b, Arith{})
		c := tr.client(t, a)
		multiplies(t, c, b.ID())
		b = restart(t, a, b)
		serve(t, b, Arith{})
		multiplies(t, c, b.ID())
	})
}

func TestRequestThatLeftIsNotSentAgain(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		a, b := newHosts(t)
		before := &holdTally{started: make(chan struct{}, 2)}
		serve(t, b, before)
		c := tr.client(t, a)
		result := make(chan error, 1)
		go func() { result <- c.Call(b.ID(), "Svc", "Hold", struct{}{}, new(int)) }()
		take(t, "the method begins", before.started)
		b = restart(t, a, b)
		after := &holdTally{started: make(chan struct{}, 2)}
		serve(t, b, after)
		if err := <-result; rpc.CodeOf(err) != rpc.CodeUnavailable {
			t.Errorf("got %v", err)
		}
		multiplies(t, c, b.ID())
		if n, m := before.held.Load(), after.held.Load(); n != 1 || m != 0 {
			t.Errorf("it ran %d times before the restart and %d after", n, m)
		}
	})
}

// libp2p remembers what a peer served before it became one of v0.6.
func TestPeerThatIsNowOfV06IsStillCalled(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	var requests atomic.Int32
	play(b, len(header("Svc", "Multiply"))+7, func(st network.Stream) {
		requests.Add(1)
		_, _ = st.Write([]byte(ok + "\x06"))
	})
	c := newClient(t, a)
	eventually(t, "the peers know each other's protocols", func() bool {
		known, err := a.Peerstore().SupportsProtocols(b.ID(), testProtocol)
		return err == nil && len(known) == 1
	})
	if err := a.Peerstore().AddProtocols(b.ID(), extended); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := c.Call(b.ID(), "Svc", "Multiply", Args{2, 3}, &n); err != nil || n != 6 || requests.Load() != 1 {
		t.Errorf("got %d, %v after %d requests", n, err, requests.Load())
	}
	if err := a.Peerstore().AddProtocols(b.ID(), extended); err != nil {
		t.Fatal(err)
	}
	err := promptly(t, func(ctx context.Context) error {
		return c.Stream(ctx, b.ID(), "Svc", "Divides", make(chan Args), make(chan Quotient))
	})
	if err == nil {
		t.Errorf("streaming: %v", err)
	}
	released(t, a, b)
}

// Many broken servers at once do no harm to one another's callers.
func TestGarbageServersBesideAnHonestOne(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		a, b := newHosts(t)
		honest := newHost(t)
		connect(t, a, honest)
		serve(t, honest, Arith{})
		say(b, 0, string(bytes.Repeat([]byte{0xc1}, 1000)))
		c := tr.client(t, a)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					if err := c.Call(b.ID(), "Svc", "Multiply", Args{2, 3}, new(int)); err == nil {
						t.Error("garbage is a reply")
					}
				}
			})
		}
		for range 20 {
			multiplies(t, c, honest.ID())
		}
		wg.Wait()
		_ = c.Close()
		released(t, a, b, honest)
	})
}
