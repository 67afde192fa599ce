package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

func TestArgumentsOfAnUnauthorizedCallAreNotRead(t *testing.T) {
	t.Parallel()
	const huge = 16 << 20
	for mux, addr := range muxers {
		for _, method := range []string{"Bytes", "Anys", "NoSuchMethod"} {
			t.Run(mux+"/"+method, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				serve(t, b, taker{}, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }))
				st := open(t, a, b, testProtocol)
				// No msgpack at all: whoever looks at it has another error.
				write(t, st, cat(header("Svc", method), "\xc1"))
				sent := make(chan int, 1)
				go func() { sent <- flood(st, huge) }()
				got := refusal(t, st)
				if got.ErrType != rpc.AuthorizationErr || strings.Contains(got.Error, "find") {
					t.Errorf("got %+v", got)
				}
				// No more than the muxer's window, which grows as one reads.
				if n := <-sent; n > 1<<20 {
					t.Errorf("%d bytes were taken", n)
				}
				_ = st.Close()
				released(t, a, b)
			})
		}
	}
}

// v0.6 writes all of its argument before it reads.
func TestRefusedClientThatIsStuckInItsArgumentGetsTheError(t *testing.T) {
	t.Parallel()
	arg := append([]byte("\xdb\x00\x10\x00\x00"), make([]byte, 1<<20)...)
	for mux, addr := range muxers {
		for what, method := range map[string]string{"unauthorized": "Denied", "unknown": "NoSuchMethod"} {
			t.Run(mux+"/"+what, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				serve(t, b, taker{}, rpc.WithAuthorizeFunc(func(_ peer.ID, _, m string) bool { return m != "Denied" }))
				st := open(t, a, b, testProtocol)
				start := time.Now()
				_, err := st.Write(append(header("Svc", method), arg...))
				if time.Since(start) > 10*time.Second {
					t.Errorf("it was stuck until its deadline: %v", err)
				}
				got := refusal(t, st)
				if got.Service.Method != method {
					t.Errorf("got %+v", got)
				}
				_ = st.Close()
				released(t, a, b)
			})
		}
	}
}

func TestClientWithALargeArgumentSeesTheRefusal(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		for mux, addr := range muxers {
			t.Run(mux, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				serve(t, b, taker{}, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }))
				c := tr.client(t, a)
				for _, size := range []int{100, 60 << 10, 70 << 10, 1 << 20, 8 << 20} {
					err := c.CallContext(testContext(t), b.ID(), "Svc", "Bytes", make([]byte, size), new(int))
					if !rpc.IsAuthorizationError(err) || rpc.CodeOf(err) != rpc.CodePermissionDenied {
						t.Errorf("%d bytes: %v", size, err)
					}
				}
				_ = c.Close()
				released(t, a, b)
			})
		}
	})
}

// A method that does not heed its context keeps its place: a peer cannot have
// more methods running than it may, however fast it gives its calls up.
func TestCallKeepsItsPlaceUntilTheMethodReturns(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"CallsPerPeer", "Calls"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			l := rpc.Limits{CallsPerPeer: 2}
			if limit == "Calls" {
				l = rpc.Limits{Calls: 2}
			}
			b := newHost(t)
			svc := newHolder()
			serve(t, b, svc, rpc.WithServerLimits(l))
			caller := newHost(t)
			connect(t, caller, b)
			// The limit of all calls is met from several hosts.
			client := func() *rpc.Client {
				if limit == "CallsPerPeer" {
					return newClient(t, caller)
				}
				h := newHost(t)
				connect(t, h, b)
				return newClient(t, h)
			}
			for range 2 {
				c := client()
				ctx, cancel := context.WithCancel(testContext(t))
				result := make(chan error, 1)
				go func() { result <- c.CallContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{})) }()
				take(t, "the method begins", svc.started)
				cancel()
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			c := client()
			for range 3 {
				err := c.CallContext(testContext(t), b.ID(), "Svc", "Multiply", Args{2, 3}, new(int))
				if rpc.CodeOf(err) != rpc.CodeResourceExhausted || !rpc.IsServerError(err) || !strings.Contains(err.Error(), "Limits."+limit+" ") {
					t.Fatalf("got %v", err)
				}
			}
			if limit == "CallsPerPeer" { // which is nothing to another peer
				other := newHost(t)
				connect(t, other, b)
				multiplies(t, newClient(t, other), b.ID())
			}
			svc.release <- struct{}{}
			eventually(t, "a place is free", func() bool {
				return c.CallContext(testContext(t), b.ID(), "Svc", "Multiply", Args{2, 3}, new(int)) == nil
			})
			svc.release <- struct{}{}
			eventually(t, "all methods have returned", func() bool { return svc.running.Load() == 0 })
			released(t, b)
		})
	}
}

func TestFloodOfCallsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	const most = 4
	a, b := newHosts(t)
	svc := newHolder()
	serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: most}))
	c := newClient(t, a)
	request := cat(header("Svc", "Hold"), "\x80")
	refused := 0
	for i := range 400 {
		st, err := a.NewStream(testContext(t), b.ID(), testProtocol)
		if err != nil { // libp2p has a limit too
			refused++
			continue
		}
		_, _ = st.Write(request)
		if i%2 == 0 {
			_ = st.Close()
		}
		_ = st.Reset()
	}
	if refused == 400 {
		t.Fatal("no stream could be opened")
	}
	for range 400 {
		svc.release <- struct{}{}
	}
	eventually(t, "the server serves again", func() bool {
		return c.CallContext(testContext(t), b.ID(), "Svc", "Multiply", Args{2, 3}, new(int)) == nil
	})
	if n := svc.most.Load(); n > most {
		t.Errorf("%d methods ran at once, and %d may", n, most)
	}
	eventually(t, "all methods have returned", func() bool { return svc.running.Load() == 0 })
	released(t, a, b)
}

// giver replies as much as it is asked for.
type giver struct{ Arith }

func (giver) Give(_ context.Context, n int, b *[]byte) error {
	*b = make([]byte, n)
	return nil
}

func (giver) GiveAll(_ context.Context, in <-chan int, out chan<- []byte) error {
	for n := range in {
		out <- make([]byte, n)
	}
	return nil
}

// ends keeps what calls ended with.
type ends struct{ errs chan error }

func (ends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (e ends) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok {
		e.errs <- end.Error
	}
}

func TestReplyOverTheLimitIsAnErrorAtBothEnds(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		const most = 10 << 10
		for _, limited := range []string{"server", "client"} {
			for _, size := range []int{most + 1, 4 << 20} {
				t.Run(fmt.Sprintf("%s/%d", limited, size), func(t *testing.T) {
					t.Parallel()
					a, b := newHosts(t)
					seen := ends{make(chan error, 10)}
					so, co := []rpc.ServerOption{rpc.WithServerStatsHandler(seen)}, []rpc.ClientOption(nil)
					if limited == "server" {
						so = append(so, rpc.WithServerLimits(rpc.Limits{MessageSize: most}))
					} else {
						co = append(co, rpc.WithClientLimits(rpc.Limits{MessageSize: most}))
					}
					serve(t, b, giver{}, so...)
					c := tr.client(t, a, co...)
					check := func(err error) {
						t.Helper()
						if rpc.CodeOf(err) != rpc.CodeResourceExhausted || !strings.Contains(err.Error(), "Limits.MessageSize") {
							t.Errorf("the client gets %v", err)
						}
						if rpc.IsServerError(err) != (limited == "server") || rpc.IsClientError(err) != (limited == "client") {
							t.Errorf("the limit is the %s's: %v", limited, err)
						}
						if at := <-seen.errs; limited == "server" && rpc.CodeOf(at) != rpc.CodeResourceExhausted {
							t.Errorf("the server has %v", at)
						}
					}
					var reply []byte
					check(promptly(t, func(ctx context.Context) error {
						return c.CallContext(ctx, b.ID(), "Svc", "Give", size, &reply)
					}))
					if reply != nil {
						t.Error("and a reply")
					}
					args, replies := make(chan int, 2), make(chan []byte)
					args <- 10
					args <- size // and it stays open
					got := collect(replies)
					check(promptly(t, func(ctx context.Context) error {
						return c.Stream(ctx, b.ID(), "Svc", "GiveAll", args, replies)
					}))
					if all := got(); len(all) != 1 || len(all[0]) != 10 {
						t.Errorf("%d replies from before the large one, not 1", len(all))
					}
					multiplies(t, c, b.ID())
					if n := len(a.Network().ConnsToPeer(b.ID())); n != 1 {
						t.Errorf("%d connections, not the first", n)
					}
					_ = c.Close()
					released(t, a, b)
				})
			}
		}
	})
}

// limitedHost is a host with few resources.
func limitedHost(t *testing.T, l rcmgr.PartialLimitConfig) host.Host {
	t.Helper()
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l.Build(rcmgr.InfiniteLimits)))
	if err != nil {
		t.Fatal(err)
	}
	return newHost(t, libp2p.ResourceManager(m))
}

func forBoth(l rcmgr.ResourceLimits) map[protocol.ID]rcmgr.ResourceLimits {
	return map[protocol.ID]rcmgr.ResourceLimits{testProtocol: l, extended: l, sessions: l}
}

// peerScope returns what the peer's connections hold of h.
func peerScope(h host.Host, p peer.ID) (s network.ScopeStat) {
	_ = h.Network().ResourceManager().ViewPeer(p, func(scope network.PeerScope) error {
		s = scope.Stat()
		return nil
	})
	return s
}

func TestRefusalByTheResourceManagerIsACleanError(t *testing.T) {
	t.Parallel()
	two := rcmgr.ResourceLimits{Streams: 2}
	for name, c := range map[string]struct {
		limits   rcmgr.PartialLimitConfig
		atClient bool
		code     rpc.Code
	}{
		"streams of the protocol": {rcmgr.PartialLimitConfig{Protocol: forBoth(two)}, false, rpc.CodeResourceExhausted},
		"streams of the service": {rcmgr.PartialLimitConfig{
			Service: map[string]rcmgr.ResourceLimits{rpc.ServiceName: two}}, false, rpc.CodeResourceExhausted},
		"streams of the client's protocol": {rcmgr.PartialLimitConfig{Protocol: forBoth(two)}, true, rpc.CodeResourceExhausted},
		"streams of the client's service": {rcmgr.PartialLimitConfig{
			Service: map[string]rcmgr.ResourceLimits{rpc.ServiceName: two}}, true, rpc.CodeResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newHost(t), limitedHost(t, c.limits)
			if c.atClient {
				a, b = b, a
			}
			connect(t, a, b)
			svc := newHolder()
			serve(t, b, svc)
			client := newClient(t, a)
			results := make(chan error, 2)
			for range 2 {
				go func() {
					results <- client.CallContext(testContext(t), b.ID(), "Svc", "Hold", struct{}{}, new(struct{}))
				}()
				take(t, "the method begins", svc.started)
			}
			for range 20 {
				err := client.CallContext(testContext(t), b.ID(), "Svc", "Multiply", Args{2, 3}, new(int))
				if rpc.CodeOf(err) != c.code || !rpc.IsClientError(err) || !unsent(err) {
					t.Fatalf("got %v", err)
				}
				in, out := make(chan Args), make(chan Quotient)
				if err := client.Stream(testContext(t), b.ID(), "Svc", "Divides", in, out); rpc.CodeOf(err) != c.code {
					t.Fatalf("streaming: %v", err)
				}
			}
			svc.release <- struct{}{}
			svc.release <- struct{}{}
			for range 2 {
				if err := <-results; err != nil {
					t.Errorf("a call that had its stream: %v", err)
				}
			}
			released(t, a, b)
			multiplies(t, client, b.ID())
			released(t, a, b)
			eventually(t, "no stream is left with the peer", func() bool {
				x, y := peerScope(a, b.ID()), peerScope(b, a.ID())
				return x.NumStreamsInbound+x.NumStreamsOutbound+y.NumStreamsInbound+y.NumStreamsOutbound == 0
			})
		})
	}
}

// wrapped is bytes that the library has to copy to send them.
type wrapped struct{ Data []byte }

type wrapper struct{}

func (wrapper) Unwrap(_ context.Context, w wrapped, n *int) error {
	*n = len(w.Data)
	return nil
}

func (wrapper) Wrap(_ context.Context, n int, w *wrapped) error {
	w.Data = make([]byte, n)
	return nil
}

func (wrapper) UnwrapAll(_ context.Context, in <-chan wrapped, _ chan<- int) error {
	for range in {
	}
	return nil
}

func (wrapper) WrapAll(_ context.Context, in <-chan int, out chan<- wrapped) error {
	for n := range in {
		out <- wrapped{make([]byte, n)}
	}
	return nil
}

func TestMemoryRefusedByTheResourceManagerIsACleanError(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		little := rcmgr.PartialLimitConfig{Protocol: forBoth(rcmgr.ResourceLimits{Memory: 256 << 10})}
		for _, at := range []string{"server", "client"} {
			t.Run(at, func(t *testing.T) {
				t.Parallel()
				a, b := newHost(t), limitedHost(t, little)
				if at == "client" {
					a, b = b, a
				}
				connect(t, a, b)
				before := peerScope(b, a.ID()).Memory
				serve(t, b, struct {
					giver
					Sink
					wrapper
				}{})
				c := tr.client(t, a)
				check := func(what string, err error) {
					t.Helper()
					if rpc.CodeOf(err) != rpc.CodeResourceExhausted || !strings.Contains(err.Error(), "resource manager") {
						t.Errorf("%s: %v", what, err)
					}
				}
				check("argument", promptly(t, func(ctx context.Context) error {
					return c.CallContext(ctx, b.ID(), "Svc", "Unwrap", wrapped{make([]byte, 1<<20)}, new(int))
				}))
				check("reply", promptly(t, func(ctx context.Context) error {
					return c.CallContext(ctx, b.ID(), "Svc", "Wrap", 1<<20, new(wrapped))
				}))
				in, out := make(chan int, 1), make(chan wrapped)
				in <- 1 << 20
				check("streamed reply", promptly(t, func(ctx context.Context) error {
					return c.Stream(ctx, b.ID(), "Svc", "WrapAll", in, out)
				}))
				ins, outs := make(chan wrapped, 1), make(chan int)
				ins <- wrapped{make([]byte, 1<<20)}
				check("streamed argument", promptly(t, func(ctx context.Context) error {
					return c.Stream(ctx, b.ID(), "Svc", "UnwrapAll", ins, outs)
				}))
				multiplies(t, c, b.ID())
				_ = c.Close()
				released(t, a, b)
				eventually(t, "the peer's memory is what it was", func() bool {
					s := peerScope(b, a.ID())
					return s.NumStreamsInbound+s.NumStreamsOutbound == 0 && s.Memory <= before
				})
			})
		}
	})
}

// Sink takes bytes.
type Sink struct{}

func (Sink) Bytes(_ context.Context, b []byte, n *int) error {
	*n = len(b)
	return nil
}

func (Sink) BytesAll(_ context.Context, in <-chan []byte, _ chan<- int) error {
	for range in {
	}
	return nil
}

// Limits that nobody can reach are no limits, and do not turn into none.
func TestLimitsAreAsLargeAsOneLikes(t *testing.T) {
	t.Parallel()
	overRemote(t, func(t *testing.T, tr transport) {
		for _, huge := range []int{math.MaxInt, math.MaxInt/2 + 1, math.MaxInt32} {
			l := rpc.Limits{MessageSize: huge, MessageValues: huge, MessageDepth: huge, MetadataSize: huge, CallsPerPeer: huge, Calls: huge}
			s := tr.setup(t, options{[]rpc.ServerOption{rpc.WithServerLimits(l)}, []rpc.ClientOption{rpc.WithClientLimits(l)}})
			join := rpc.NewMethod[[]string, string]("Svc", "Join")
			mustHandle(t, s.server, join, func(ctx context.Context, words []string) (string, error) {
				of, _ := rpc.MetadataFromContext(ctx)["of"]
				return strings.Join(append(words, of), " "), nil
			})
			ctx := rpc.ContextWithMetadata(testContext(t), rpc.Metadata{"of": "three"})
			if got, err := join.Call(ctx, s.client, s.dest, []string{"one", "two"}); err != nil || got != "one two three" {
				t.Errorf("%d: %q, %v", huge, got, err)
			}
		}
	})
}
