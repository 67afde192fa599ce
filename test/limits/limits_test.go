package limits_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestArgumentsOfAnUnauthorizedCallAreNotRead(t *testing.T) {
	t.Parallel()
	const huge = 16 << 20
	for mux, addr := range rig.Muxers {
		for _, method := range []string{"Bytes", "Anys", "NoSuchMethod"} {
			t.Run(mux+"/"+method, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				rig.Serve(t, b, taker{}, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }))
				st := rig.Open(t, a, b, rig.Protocol)
				// No msgpack at all: whoever looks at it has another error.
				rig.Write(t, st, rig.Cat(rig.Header("Svc", method), "\xc1"))
				sent := make(chan int, 1)
				go func() { sent <- rig.Flood(st, huge) }()
				got := rig.Refusal(t, st)
				if got.ErrType != rpc.AuthorizationErr || strings.Contains(got.Error, "find") {
					t.Errorf("got %+v", got)
				}
				// No more than the muxer's window, which grows as one reads.
				if n := <-sent; n > 1<<20 {
					t.Errorf("%d bytes were taken", n)
				}
				_ = st.Close()
				rig.Released(t, a, b)
			})
		}
	}
}

// v0.6 writes all of its argument before it reads.
func TestRefusedClientThatIsStuckInItsArgumentGetsTheError(t *testing.T) {
	t.Parallel()
	arg := append([]byte("\xdb\x00\x10\x00\x00"), make([]byte, 1<<20)...)
	for mux, addr := range rig.Muxers {
		for what, method := range map[string]string{"unauthorized": "Denied", "unknown": "NoSuchMethod"} {
			t.Run(mux+"/"+what, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				rig.Serve(t, b, taker{}, rpc.WithAuthorizeFunc(func(_ peer.ID, _, m string) bool { return m != "Denied" }))
				st := rig.Open(t, a, b, rig.Protocol)
				start := time.Now()
				_, err := st.Write(append(rig.Header("Svc", method), arg...))
				if time.Since(start) > 10*time.Second {
					t.Errorf("it was stuck until its deadline: %v", err)
				}
				got := rig.Refusal(t, st)
				if got.Service.Method != method {
					t.Errorf("got %+v", got)
				}
				_ = st.Close()
				rig.Released(t, a, b)
			})
		}
	}
}

func TestClientWithALargeArgumentSeesTheRefusal(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for mux, addr := range rig.Muxers {
			t.Run(mux, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				rig.Serve(t, b, taker{}, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }))
				c := tr.Client(t, a)
				for _, size := range []int{100, 60 << 10, 70 << 10, 1 << 20, 8 << 20} {
					err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Bytes", make([]byte, size), new(int))
					if !rpc.IsAuthorizationError(err) || rpc.CodeOf(err) != codes.PermissionDenied {
						t.Errorf("%d bytes: %v", size, err)
					}
				}
				_ = c.Close()
				rig.Released(t, a, b)
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
			b := rig.NewHost(t)
			svc := rig.NewHolder()
			rig.Serve(t, b, svc, rpc.WithServerLimits(l))
			caller := rig.NewHost(t)
			rig.Connect(t, caller, b)
			// The limit of all calls is met from several hosts.
			client := func() *rpc.Client {
				if limit == "CallsPerPeer" {
					return rig.Wire.Client(t, caller)
				}
				h := rig.NewHost(t)
				rig.Connect(t, h, b)
				return rig.Wire.Client(t, h)
			}
			for range 2 {
				c := client()
				ctx, cancel := context.WithCancel(rig.Context(t))
				result := make(chan error, 1)
				go func() { result <- c.CallContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{})) }()
				rig.Take(t, "the method begins", svc.Started)
				cancel()
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			c := client()
			for range 3 {
				err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int))
				if rpc.CodeOf(err) != codes.ResourceExhausted || !rpc.IsServerError(err) || !strings.Contains(err.Error(), "Limits."+limit+" ") {
					t.Fatalf("got %v", err)
				}
			}
			if limit == "CallsPerPeer" { // which is nothing to another peer
				other := rig.NewHost(t)
				rig.Connect(t, other, b)
				rig.Multiplies(t, rig.Wire.Client(t, other), b.ID())
			}
			svc.Release <- struct{}{}
			rig.Eventually(t, "a place is free", func() bool {
				return c.CallContext(rig.Context(t), b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int)) == nil
			})
			svc.Release <- struct{}{}
			rig.Eventually(t, "all methods have returned", func() bool { return svc.Running.Load() == 0 })
			rig.Released(t, b)
		})
	}
}

func TestFloodOfCallsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	const most = 4
	a, b := rig.NewHosts(t)
	svc := rig.NewHolder()
	rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{CallsPerPeer: most}))
	c := rig.Wire.Client(t, a)
	request := rig.Cat(rig.Header("Svc", "Hold"), "\x80")
	refused := 0
	for i := range 400 {
		st, err := a.NewStream(rig.Context(t), b.ID(), rig.Protocol)
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
		svc.Release <- struct{}{}
	}
	rig.Eventually(t, "the server serves again", func() bool {
		return c.CallContext(rig.Context(t), b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int)) == nil
	})
	if n := svc.Most.Load(); n > most {
		t.Errorf("%d methods ran at once, and %d may", n, most)
	}
	rig.Eventually(t, "all methods have returned", func() bool { return svc.Running.Load() == 0 })
	rig.Released(t, a, b)
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
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		const most = 10 << 10
		for _, limited := range []string{"server", "client"} {
			for _, size := range []int{most + 1, 4 << 20} {
				t.Run(fmt.Sprintf("%s/%d", limited, size), func(t *testing.T) {
					t.Parallel()
					a, b := rig.NewHosts(t)
					seen := ends{make(chan error, 10)}
					so, co := []rpc.ServerOption{rpc.WithServerStatsHandler(seen)}, []rpc.ClientOption(nil)
					if limited == "server" {
						so = append(so, rpc.WithServerLimits(rpc.Limits{MessageSize: most}))
					} else {
						co = append(co, rpc.WithClientLimits(rpc.Limits{MessageSize: most}))
					}
					rig.Serve(t, b, rig.Giver{}, so...)
					c := tr.Client(t, a, co...)
					check := func(err error) {
						t.Helper()
						if rpc.CodeOf(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "Limits.MessageSize") {
							t.Errorf("the client gets %v", err)
						}
						if rpc.IsServerError(err) != (limited == "server") || rpc.IsClientError(err) != (limited == "client") {
							t.Errorf("the limit is the %s's: %v", limited, err)
						}
						if at := <-seen.errs; limited == "server" && rpc.CodeOf(at) != codes.ResourceExhausted {
							t.Errorf("the server has %v", at)
						}
					}
					var reply []byte
					check(rig.Promptly(t, func(ctx context.Context) error {
						return c.CallContext(ctx, b.ID(), "Svc", "Give", size, &reply)
					}))
					if reply != nil {
						t.Error("and a reply")
					}
					args, replies := make(chan int, 2), make(chan []byte)
					args <- 10
					args <- size // and it stays open
					got := rig.Collect(replies)
					check(rig.Promptly(t, func(ctx context.Context) error {
						return c.Stream(ctx, b.ID(), "Svc", "GiveAll", args, replies)
					}))
					if all := got(); len(all) != 1 || len(all[0]) != 10 {
						t.Errorf("%d replies from before the large one, not 1", len(all))
					}
					rig.Multiplies(t, c, b.ID())
					if n := len(a.Network().ConnsToPeer(b.ID())); n != 1 {
						t.Errorf("%d connections, not the first", n)
					}
					_ = c.Close()
					rig.Released(t, a, b)
				})
			}
		}
	})
}

func forBoth(l rcmgr.ResourceLimits) map[protocol.ID]rcmgr.ResourceLimits {
	return map[protocol.ID]rcmgr.ResourceLimits{rig.Protocol: l, rig.Extended: l, rig.Sessions: l}
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
		code     codes.Code
	}{
		"streams of the protocol": {rcmgr.PartialLimitConfig{Protocol: forBoth(two)}, false, codes.ResourceExhausted},
		"streams of the service": {rcmgr.PartialLimitConfig{
			Service: map[string]rcmgr.ResourceLimits{rpc.ServiceName: two}}, false, codes.ResourceExhausted},
		"streams of the client's protocol": {rcmgr.PartialLimitConfig{Protocol: forBoth(two)}, true, codes.ResourceExhausted},
		"streams of the client's service": {rcmgr.PartialLimitConfig{
			Service: map[string]rcmgr.ResourceLimits{rpc.ServiceName: two}}, true, codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHost(t), rig.LimitedHost(t, c.limits)
			if c.atClient {
				a, b = b, a
			}
			rig.Connect(t, a, b)
			svc := rig.NewHolder()
			rig.Serve(t, b, svc)
			client := rig.Wire.Client(t, a)
			results := make(chan error, 2)
			for range 2 {
				go func() {
					results <- client.CallContext(rig.Context(t), b.ID(), "Svc", "Hold", struct{}{}, new(struct{}))
				}()
				rig.Take(t, "the method begins", svc.Started)
			}
			for range 20 {
				err := client.CallContext(rig.Context(t), b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int))
				if rpc.CodeOf(err) != c.code || !rpc.IsClientError(err) || !rig.Unsent(err) {
					t.Fatalf("got %v", err)
				}
				in, out := make(chan rig.Args), make(chan rig.Quotient)
				if err := client.Stream(rig.Context(t), b.ID(), "Svc", "Divides", in, out); rpc.CodeOf(err) != c.code {
					t.Fatalf("streaming: %v", err)
				}
			}
			svc.Release <- struct{}{}
			svc.Release <- struct{}{}
			for range 2 {
				if err := <-results; err != nil {
					t.Errorf("a call that had its stream: %v", err)
				}
			}
			rig.Released(t, a, b)
			rig.Multiplies(t, client, b.ID())
			rig.Released(t, a, b)
			rig.Eventually(t, "no stream is left with the peer", func() bool {
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
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		little := rcmgr.PartialLimitConfig{Protocol: forBoth(rcmgr.ResourceLimits{Memory: 256 << 10})}
		for _, at := range []string{"server", "client"} {
			t.Run(at, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHost(t), rig.LimitedHost(t, little)
				if at == "client" {
					a, b = b, a
				}
				rig.Connect(t, a, b)
				before := peerScope(b, a.ID()).Memory
				rig.Serve(t, b, struct {
					rig.Giver
					Sink
					wrapper
				}{})
				c := tr.Client(t, a)
				check := func(what string, err error) {
					t.Helper()
					if rpc.CodeOf(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "resource manager") {
						t.Errorf("%s: %v", what, err)
					}
				}
				check("argument", rig.Promptly(t, func(ctx context.Context) error {
					return c.CallContext(ctx, b.ID(), "Svc", "Unwrap", wrapped{make([]byte, 1<<20)}, new(int))
				}))
				check("reply", rig.Promptly(t, func(ctx context.Context) error {
					return c.CallContext(ctx, b.ID(), "Svc", "Wrap", 1<<20, new(wrapped))
				}))
				in, out := make(chan int, 1), make(chan wrapped)
				in <- 1 << 20
				check("streamed reply", rig.Promptly(t, func(ctx context.Context) error {
					return c.Stream(ctx, b.ID(), "Svc", "WrapAll", in, out)
				}))
				ins, outs := make(chan wrapped, 1), make(chan int)
				ins <- wrapped{make([]byte, 1<<20)}
				check("streamed argument", rig.Promptly(t, func(ctx context.Context) error {
					return c.Stream(ctx, b.ID(), "Svc", "UnwrapAll", ins, outs)
				}))
				rig.Multiplies(t, c, b.ID())
				_ = c.Close()
				rig.Released(t, a, b)
				rig.Eventually(t, "the peer's memory is what it was", func() bool {
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
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, huge := range []int{math.MaxInt, math.MaxInt/2 + 1, math.MaxInt32} {
			l := rpc.Limits{MessageSize: huge, MessageValues: huge, MessageDepth: huge, MetadataSize: huge, CallsPerPeer: huge, Calls: huge}
			s := tr.Setup(t, rig.Options{Server: []rpc.ServerOption{rpc.WithServerLimits(l)}, Client: []rpc.ClientOption{rpc.WithClientLimits(l)}})
			join := rpc.NewMethod[[]string, string]("Svc", "Join")
			rig.MustHandle(t, s.Server, join, func(ctx context.Context, words []string) (string, error) {
				of, _ := rpc.MetadataFromContext(ctx)["of"]
				return strings.Join(append(words, of), " "), nil
			})
			ctx := rpc.ContextWithMetadata(rig.Context(t), rpc.Metadata{"of": "three"})
			if got, err := join.Call(ctx, s.Client, s.Dest, []string{"one", "two"}); err != nil || got != "one two three" {
				t.Errorf("%d: %q, %v", huge, got, err)
			}
		}
	})
}
