package chain_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// journal notes what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// noting returns an interceptor that notes when it is entered and left.
func (j *journal) noting(name string) rpc.Interceptor {
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			j.add("enter " + name)
			defer j.add("leave " + name)
			return next(ctx, call)
		}
	}
}

// noted has methods that note that they run.
type noted struct{ j *journal }

func (n noted) Double(_ context.Context, i int, r *int) error {
	n.j.add("method")
	*r = 2 * i
	return nil
}

func (n noted) Doubles(_ context.Context, in <-chan int, out chan<- int) error {
	defer close(out)
	n.j.add("method")
	for i := range in {
		out <- 2 * i
	}
	return nil
}

// doubling makes one unary and one streaming call that doubles 21.
func doubling(t *testing.T, s rig.Setup, f func(t *testing.T, kind rpc.Kind, replies []int, err error)) {
	t.Helper()
	doublingContext(t, rig.Context(t), s, f)
}

func doublingContext(t *testing.T, ctx context.Context, s rig.Setup, f func(t *testing.T, kind rpc.Kind, replies []int, err error)) {
	t.Helper()
	t.Run("unary", func(t *testing.T) {
		var r int
		err := s.Client.CallContext(ctx, s.Dest, "Svc", "Double", 21, &r)
		if r == 0 {
			f(t, rpc.Unary, nil, err)
		} else {
			f(t, rpc.Unary, []int{r}, err)
		}
	})
	t.Run("streaming", func(t *testing.T) {
		args, replies := make(chan int), make(chan int)
		rig.SendAll(rig.Context(t), args, 21)
		got := rig.Collect(replies)
		err := s.Client.Stream(ctx, s.Dest, "Svc", "Doubles", args, replies)
		f(t, rpc.Streaming, got(), err)
	})
}

func doubled(t *testing.T, replies []int, err error) {
	t.Helper()
	if err != nil || !slices.Equal(replies, []int{42}) {
		t.Fatalf("got %v, %v", replies, err)
	}
}

func TestInterceptorsRunInOrder(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		j := new(journal)
		s := with(noted{j}, rig.Options{
			Client: []rpc.ClientOption{
				rpc.WithClientInterceptors(j.noting("c1"), j.noting("c2")), rpc.WithClientInterceptors(j.noting("c3")),
			},
			Server: []rpc.ServerOption{
				rpc.WithServerInterceptors(j.noting("s1"), j.noting("s2")), rpc.WithServerInterceptors(j.noting("s3")),
			},
		})
		doubling(t, s, func(t *testing.T, _ rpc.Kind, replies []int, err error) {
			doubled(t, replies, err)
			// The server's have left before the call ends for the client.
			want := []string{
				"enter c1", "enter c2", "enter c3", "enter s1", "enter s2", "enter s3", "method",
				"leave s3", "leave s2", "leave s1", "leave c3", "leave c2", "leave c1",
			}
			if lines := j.take(); !slices.Equal(lines, want) {
				t.Errorf("the order is %v", lines)
			}
		})
	})
}

// sight is what an interceptor sees of a call.
type sight struct {
	service, method string
	peer            peer.ID
	kind            rpc.Kind
	client, local   bool
	args            any
	reply           int // after the call; 0 without one
	hasReply        bool
}

func looking(at *atomic.Pointer[sight]) rpc.Interceptor {
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			if call.ID() != (rpc.ServiceID{Name: call.Service, Method: call.Method}) {
				return errors.New("the ID is another")
			}
			s := &sight{
				service: call.Service, method: call.Method, peer: call.Peer, kind: call.Kind,
				client: call.Client, local: call.Local, args: call.Args,
			}
			err := next(ctx, call)
			if p, ok := call.Reply.(*int); ok {
				s.reply, s.hasReply = *p, true
			}
			at.Store(s)
			return err
		}
	}
}

func TestInterceptorsSeeTheCall(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var client, server atomic.Pointer[sight]
		s := with(noted{new(journal)}, rig.Options{
			Client: []rpc.ClientOption{rpc.WithClientInterceptors(looking(&client))},
			Server: []rpc.ServerOption{rpc.WithServerInterceptors(looking(&server))},
		})
		doubling(t, s, func(t *testing.T, kind rpc.Kind, replies []int, err error) {
			doubled(t, replies, err)
			want := sight{service: "Svc", method: "Double", kind: kind, local: s.Dest == s.Sender, args: 21, reply: 42, hasReply: true}
			if kind == rpc.Streaming {
				want.method, want.args, want.reply, want.hasReply = "Doubles", nil, 0, false
			}
			want.peer, want.client = s.Dest, true
			if got := *client.Load(); got != want {
				t.Errorf("the client's sees %+v, not %+v", got, want)
			}
			want.peer, want.client = s.Sender, false
			if got := *server.Load(); got != want {
				t.Errorf("the server's sees %+v, not %+v", got, want)
			}
		})
	})
}

func TestServerInterceptorSeesSenderMetadataAndReplyBesideAnError(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var sender atomic.Value
		var reply atomic.Int64
		s := with(rig.Arith{}, rig.Options{Server: []rpc.ServerOption{rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				p, _ := rpc.GetRequestSender(ctx)
				sender.Store(string(p) + rpc.MetadataFromContext(ctx)["k"])
				err := next(ctx, call)
				reply.Store(int64(*call.Reply.(*int)))
				return err
			}
		})}})
		ctx := rpc.ContextWithMetadata(rig.Context(t), rpc.Metadata{"k": "v"})
		err := s.Client.CallContext(ctx, s.Dest, "Svc", "ReplyAndError", 1, new(int))
		if err == nil || sender.Load() != string(s.Sender)+"v" || reply.Load() != 42 {
			t.Fatalf("got %v; it saw %v, %v", err, sender.Load(), reply.Load())
		}
	})
}

// onSides makes a setup with the interceptor on one side, and then on the
// other.
func onSides(t *testing.T, i rpc.Interceptor, f func(t *testing.T, s rig.Setup, j *journal)) {
	t.Helper()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		for side, o := range map[string]rig.Options{
			"client": {Client: []rpc.ClientOption{rpc.WithClientInterceptors(i)}},
			"server": {Server: []rpc.ServerOption{rpc.WithServerInterceptors(i)}},
		} {
			t.Run(side, func(t *testing.T) {
				j := new(journal)
				f(t, with(noted{j}, o), j)
			})
		}
	})
}

var errRefused = &rpc.Error{Code: codes.FailedPrecondition, Message: "refused", Details: map[string]string{"why": "test"}}

func TestInterceptorMayRefuseACall(t *testing.T) {
	t.Parallel()
	refuse := func(rpc.Handler) rpc.Handler {
		return func(context.Context, *rpc.CallInfo) error { return errRefused }
	}
	onSides(t, refuse, func(t *testing.T, s rig.Setup, j *journal) {
		doubling(t, s, func(t *testing.T, _ rpc.Kind, replies []int, err error) {
			var e *rpc.Error
			if !errors.As(err, &e) || e.Code != errRefused.Code || e.Message != "refused" || e.Details["why"] != "test" || len(replies) > 0 {
				t.Errorf("got %v, %v", replies, err)
			}
			if lines := j.take(); len(lines) > 0 {
				t.Error("the method ran")
			}
		})
	})
}

func TestInterceptorMayChangeTheError(t *testing.T) {
	t.Parallel()
	t.Run("to one", func(t *testing.T) {
		t.Parallel()
		onSides(t, func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				if err := next(ctx, call); err != nil {
					return err
				}
				return errRefused
			}
		}, func(t *testing.T, s rig.Setup, _ *journal) {
			doubling(t, s, func(t *testing.T, _ rpc.Kind, replies []int, err error) {
				if rpc.CodeOf(err) != errRefused.Code || err.Error() != "refused" {
					t.Errorf("the error is %v", err)
				}
				if !slices.Equal(replies, []int{42}) {
					t.Errorf("the replies beside it are %v", replies)
				}
			})
		})
	})
	t.Run("to none", func(t *testing.T) {
		t.Parallel()
		swallow := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				_ = next(ctx, call)
				return nil
			}
		}
		rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
			for side, o := range map[string]rig.Options{
				"client": {Client: []rpc.ClientOption{rpc.WithClientInterceptors(swallow)}},
				"server": {Server: []rpc.ServerOption{rpc.WithServerInterceptors(swallow)}},
			} {
				s := with(rig.Arith{}, o)
				var r int
				if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "ReplyAndError", 1, &r); err != nil || r != 42 {
					t.Errorf("%s: got %d, %v", side, r, err)
				}
				if err := rig.StreamOnce[rig.Quotient](t, s, "Divides", rig.Args{A: 1, B: 0}); err != nil {
					t.Errorf("%s: streaming: got %v", side, err)
				}
			}
		})
	})
}

type contextMark struct{}

// marked returns what a server's interceptor put into its context.
type marked struct{}

func (marked) Double(ctx context.Context, _ int, r *int) error {
	*r, _ = ctx.Value(contextMark{}).(int)
	_, err := rpc.GetRequestSender(ctx)
	return err
}

func (m marked) Doubles(ctx context.Context, _ <-chan int, out chan<- int) error {
	var r int
	err := m.Double(ctx, 0, &r)
	out <- r
	return err
}

func TestServerInterceptorMayChangeTheContext(t *testing.T) {
	t.Parallel()
	mark := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			return next(context.WithValue(ctx, contextMark{}, 42), call)
		}
	}
	rig.OverAll(t, marked{}, rig.Options{Server: []rpc.ServerOption{rpc.WithServerInterceptors(mark)}}, func(t *testing.T, s rig.Setup) {
		doubling(t, s, func(t *testing.T, _ rpc.Kind, replies []int, err error) { doubled(t, replies, err) })
	})
}

func TestClientInterceptorMayChangeTheContext(t *testing.T) {
	t.Parallel()
	mark := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			return next(rpc.ContextWithMetadata(ctx, rpc.Metadata{"added": "1"}), call)
		}
	}
	rig.OverAll(t, &seeing{}, rig.Options{Client: []rpc.ClientOption{rpc.WithClientInterceptors(mark)}}, func(t *testing.T, s rig.Setup) {
		see(t, rig.Context(t), s, func(t *testing.T, seen seenContext) {
			if seen.Metadata["added"] != "1" {
				t.Errorf("the method sees %v", seen.Metadata)
			}
		})
	})
	ended := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return next(ctx, call)
		}
	}
	rig.OverAll(t, &seeing{}, rig.Options{Client: []rpc.ClientOption{rpc.WithClientInterceptors(ended)}}, func(t *testing.T, s rig.Setup) {
		err := s.Client.Call(s.Dest, "Svc", "See", struct{}{}, new(seenContext))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// flaky fails until it is called for the third time, with a reply of its own.
type flaky struct{ calls atomic.Int64 }

func (f *flaky) Try(_ context.Context, base int, r *int) error {
	n := f.calls.Add(1)
	*r = base + int(n)
	if n < 3 {
		return &rpc.Error{Code: codes.Unavailable, Message: "not yet"}
	}
	return nil
}

func TestClientInterceptorMayCallAgain(t *testing.T) {
	t.Parallel()
	retry := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) (err error) {
			for range 5 {
				if err = next(ctx, call); rpc.CodeOf(err) != codes.Unavailable {
					return err
				}
			}
			return err
		}
	}
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		for _, ctx := range []context.Context{context.Background(), rig.Context(t)} {
			svc := new(flaky)
			s := with(svc, rig.Options{Client: []rpc.ClientOption{rpc.WithClientInterceptors(retry)}})
			var r int
			if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Try", 100, &r); err != nil || r != 103 || svc.calls.Load() != 3 {
				t.Errorf("got %d, %v after %d calls", r, err, svc.calls.Load())
			}
			// Of MultiCall too, which encodes once.
			svc.calls.Store(0)
			errs := s.Client.MultiCall([]context.Context{ctx}, []peer.ID{s.Dest}, "Svc", "Try", 200, []any{&r})
			if errs[0] != nil || r != 203 {
				t.Errorf("MultiCall: got %d, %v", r, errs)
			}
		}
	})
}

// outlived is a method whose first call outlives the caller's patience and
// then panics, while the second is under way.
type outlived struct {
	calls                      atomic.Int64
	started, release, firstEnd chan struct{}
}

func (o *outlived) Try(_ context.Context, _ int, r *int) error {
	if o.calls.Add(1) == 1 {
		close(o.started)
		<-o.release
		panic("the first")
	}
	close(o.release)
	<-o.firstEnd
	*r = 2
	return nil
}

// firstEnd is closed by a server when its first call has ended.
type firstEnd struct {
	once sync.Once
	ch   chan struct{}
}

func (f *firstEnd) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (f *firstEnd) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.End); ok {
		f.once.Do(func() { close(f.ch) })
	}
}

func TestCallMadeAgainIsNotTouchedByTheOneGivenUp(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		end := &firstEnd{ch: make(chan struct{})}
		svc := &outlived{started: make(chan struct{}), release: make(chan struct{}), firstEnd: end.ch}
		s := with(svc, rig.Options{
			Server: []rpc.ServerOption{rpc.WithServerStatsHandler(end)},
			Client: []rpc.ClientOption{rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
				return func(ctx context.Context, call *rpc.CallInfo) error {
					impatient, cancel := context.WithCancel(ctx)
					go func() {
						<-svc.started
						cancel()
					}()
					if err := next(impatient, call); !errors.Is(err, context.Canceled) {
						t.Errorf("the first ended with %v", err)
					}
					return next(ctx, call)
				}
			})},
		})
		var r int
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Try", 1, &r); err != nil || r != 2 {
			t.Fatalf("got %d, %v", r, err)
		}
	})
}

func TestPanicOfAServerInterceptorIsInternal(t *testing.T) {
	t.Parallel()
	for name, i := range map[string]rpc.Interceptor{
		"before": func(rpc.Handler) rpc.Handler {
			return func(context.Context, *rpc.CallInfo) error { panic("secret") }
		},
		"after": func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				_ = next(ctx, call)
				panic("secret")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig.OverAll(t, noted{new(journal)}, rig.Options{Server: []rpc.ServerOption{rpc.WithServerInterceptors(i)}}, func(t *testing.T, s rig.Setup) {
				doubling(t, s, func(t *testing.T, _ rpc.Kind, _ []int, err error) {
					if rpc.CodeOf(err) != codes.Internal || !rpc.IsServerError(err) {
						t.Fatalf("got %v", err)
					}
					const text = ": panicked while serving the call; see the log of the server"
					if msg := err.Error(); msg != "rpc: Svc.Double: peer "+s.Dest.String()+text && msg != "rpc: Svc.Doubles: peer "+s.Dest.String()+text {
						t.Fatalf("the text is %q", msg)
					}
				})
			})
		})
	}
}
