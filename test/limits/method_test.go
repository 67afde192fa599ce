package limits_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// of configures a method of the service Svc, or with an empty name all of them.
func of(method string, c rpc.MethodConfig) rpc.ServerOption {
	return rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc", Method: method}, c)
}

// checkLimit checks an error that names a field of MethodConfig.
func checkLimit(t *testing.T, err error, code codes.Code, field string, names ...string) *rpc.Error {
	t.Helper()
	rig.CheckErr(t, err, rpc.ServerErr, code, append(names, "MethodConfig."+field)...)
	var over *rpc.LimitError
	if !errors.As(err, &over) || over.Limit != "MethodConfig."+field {
		t.Errorf("the limit is %v", over)
	}
	var e *rpc.Error
	if !errors.As(err, &e) {
		return new(rpc.Error)
	}
	return e
}

// slow has methods that wait for their contexts, and end as they are told.
type slow struct {
	end func(ctx context.Context) error
}

func (s slow) Unary(ctx context.Context, _ int, r *int) error {
	<-ctx.Done()
	*r = 42
	return s.end(ctx)
}

func (s slow) Many(ctx context.Context, _ <-chan int, _ chan<- int) error {
	<-ctx.Done()
	return s.end(ctx)
}

var (
	slowTyped  = rpc.NewMethod[int, int]("Svc", "Typed")
	slowStream = rpc.NewServerStream[int, int]("Svc", "Stream")

	// slowCalls are calls of slow's methods, by name and typed.
	slowCalls = map[string]func(ctx context.Context, s rig.Setup) (int, error){
		"Unary": func(ctx context.Context, s rig.Setup) (n int, err error) {
			err = s.Client.CallContext(ctx, s.Dest, "Svc", "Unary", 1, &n)
			return n, err
		},
		"Typed": func(ctx context.Context, s rig.Setup) (int, error) { return slowTyped.Call(ctx, s.Client, s.Dest, 1) },
		"Many": func(ctx context.Context, s rig.Setup) (int, error) {
			args := make(chan int)
			defer close(args)
			return 42, s.Client.Stream(ctx, s.Dest, "Svc", "Many", args, make(chan int))
		},
		"Stream": func(ctx context.Context, s rig.Setup) (int, error) {
			for _, err := range slowStream.Call(ctx, s.Client, s.Dest, 1) {
				if err != nil {
					return 42, err
				}
			}
			return 42, nil
		},
	}
)

func (s slow) handle(t *testing.T, server *rpc.Server) {
	rig.MustHandle(t, server, slowTyped, func(ctx context.Context, n int) (r int, err error) {
		err = s.Unary(ctx, n, &r)
		return r, err
	})
	err := slowStream.Handle(server, func(ctx context.Context, _ int, _ *rpc.Sender[int]) error { return s.Many(ctx, nil, nil) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestMethodsTimeout(t *testing.T) {
	t.Parallel()
	errOwn := &rpc.Error{Code: codes.Aborted, Message: "its own"}
	for how, end := range map[string]func(ctx context.Context) error{
		"it says so":     func(ctx context.Context) error { return ctx.Err() },
		"it wraps that":  func(ctx context.Context) error { return fmt.Errorf("half way: %w", ctx.Err()) },
		"it is done":     func(context.Context) error { return nil },
		"it has its own": func(context.Context) error { return errOwn },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
				causes := make(chan error, 1)
				svc := slow{func(ctx context.Context) error {
					if ctx.Err() != context.DeadlineExceeded {
						t.Errorf("its context says %v", ctx.Err())
					}
					causes <- context.Cause(ctx)
					return end(ctx)
				}}
				s := with(svc, rig.Options{Server: []rpc.ServerOption{
					of("", rpc.MethodConfig{Timeout: 20 * time.Millisecond}),
				}})
				svc.handle(t, s.Server)
				for method, call := range slowCalls {
					n, err := call(rig.Context(t), s)
					rig.CheckNames(t, <-causes, "MethodConfig.Timeout")
					if how == "it has its own" {
						rig.CheckErr(t, err, rpc.NonRPCErr, codes.Aborted, "its own")
						continue
					}
					e := checkLimit(t, err, codes.DeadlineExceeded, "Timeout", "Svc."+method, "20ms")
					if errors.Is(err, context.DeadlineExceeded) || e.Unsent() || n != 42 {
						t.Errorf("%s: a reply of %d beside %#v", method, n, err)
					}
					if how == "it wraps that" {
						rig.CheckNames(t, err, "half way")
					}
				}
			})
		})
	}
}

func TestMethodsTimeoutOnlyNarrowsItsCallers(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		deadlines := make(chan time.Duration, 1)
		svc := slow{func(ctx context.Context) error { return ctx.Err() }}
		s := with(svc, rig.Options{Server: []rpc.ServerOption{
			rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{Timeout: 2 * time.Hour}),
			of("Lifted", rpc.MethodConfig{Timeout: -1}),
		}})
		for name, want := range map[string]time.Duration{"Told": 2 * time.Hour, "Lifted": 4 * time.Hour} {
			err := s.Server.RegisterFunc("Svc", name, func(ctx context.Context, _ int, _ *int) error {
				d, _ := ctx.Deadline()
				deadlines <- time.Until(d)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, given := range []time.Duration{time.Hour, 4 * time.Hour} {
				ctx, cancel := context.WithTimeout(context.Background(), given)
				err := s.Client.CallContext(ctx, s.Dest, "Svc", name, 1, new(int))
				cancel()
				if d := <-deadlines; err != nil || d > min(given, want) || d < min(given, want)-time.Minute {
					t.Errorf("%s: %v of %v: %v", name, d, given, err)
				}
			}
		}
		for method, call := range map[string]func(context.Context, rig.Setup) (int, error){"Unary": slowCalls["Unary"], "Many": slowCalls["Many"]} {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			_, err := call(ctx, s)
			if over := new(rpc.LimitError); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &over) {
				t.Errorf("%s: the caller's deadline is told as %v", method, err)
			}
			cancel()
		}
	})
}

// sized has methods that take and give bytes.
type sized struct{ rig.Giver }

func (sized) Take(_ context.Context, b []byte, n *int) error {
	*n = len(b)
	return nil
}

func (sized) TakeAll(_ context.Context, in <-chan []byte, out chan<- int) error {
	for b := range in {
		out <- len(b)
	}
	return nil
}

func TestMethodsMessageSize(t *testing.T) {
	t.Parallel()
	const most = 1000
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		s := with(sized{}, rig.Options{Server: []rpc.ServerOption{
			of("", rpc.MethodConfig{MessageSize: most}),
			of("Wide", rpc.MethodConfig{MessageSize: 1 << 30}),
		}})
		if err := s.Server.RegisterFunc("Svc", "Wide", sized{}.Take); err != nil {
			t.Fatal(err)
		}
		calls := map[string]func(n int) error{
			"Take": func(n int) error {
				return s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Take", make([]byte, n), new(int))
			},
			"Give": func(n int) error {
				return s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Give", n, new([]byte))
			},
			"TakeAll": func(n int) error { return rig.StreamOnce[int](t, s, "TakeAll", make([]byte, n)) },
			"GiveAll": func(n int) error { return rig.StreamOnce[[]byte](t, s, "GiveAll", n) },
		}
		for method, call := range calls {
			if err := call(most - 10); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			for _, n := range []int{most + 1, 1 << 20} {
				err := call(n)
				if s.Dest == s.Sender {
					if err != nil {
						t.Errorf("%s, local: %v", method, err)
					}
					continue
				}
				checkLimit(t, err, codes.ResourceExhausted, "MessageSize", "Svc."+method)
			}
		}
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Wide", make([]byte, 1<<20), new(int)); err != nil {
			t.Errorf("a method that asks for more than Limits has: %v", err)
		}
	})
}

// Calls that are refused take no place.
func TestMethodsCallsAtOnce(t *testing.T) {
	t.Parallel()
	for field, c := range map[string]rpc.MethodConfig{"Calls": {Calls: 2}, "CallsPerPeer": {CallsPerPeer: 2}} {
		for _, scope := range []string{"", "Hold"} {
			t.Run(field+" of "+scope, func(t *testing.T) {
				t.Parallel()
				rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
					h := rig.NewHolder()
					s := tr.With(t, h, rig.Options{Server: []rpc.ServerOption{of(scope, c)}})
					hold := func(c *rpc.Client) error {
						return c.CallContext(rig.Context(t), s.Dest, "Svc", "Hold", struct{}{}, new(struct{}))
					}
					for range 2 {
						var held []<-chan error
						for range 2 {
							held = append(held, rig.InBackground(func() error { return hold(s.Client) }))
							rig.Take(t, "a call runs", h.Started)
						}
						for range 3 {
							e := checkLimit(t, hold(s.Client), codes.ResourceExhausted, field, "Svc.Hold", "2 calls")
							if !e.Unsent() || e.RetryAfter() != 0 {
								t.Errorf("%+v", e)
							}
						}
						err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int))
						if scope == "" {
							checkLimit(t, err, codes.ResourceExhausted, field, "Svc.Multiply")
						} else if err != nil {
							t.Errorf("another method: %v", err)
						}
						for _, call := range held {
							h.Release <- struct{}{}
							if err := rig.Take(t, "a call ends", call); err != nil {
								t.Error(err)
							}
						}
					}
				})
			})
		}
	}
}

func TestMethodsCallsOfOnePeerAreNotAnothers(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		h := rig.NewHolder()
		s := tr.With(t, h, rig.Options{Server: []rpc.ServerOption{of("Hold", rpc.MethodConfig{CallsPerPeer: 1, Calls: 2})}})
		var held []<-chan error
		hold := func(c *rpc.Client) error {
			return c.CallContext(rig.Context(t), s.Dest, "Svc", "Hold", struct{}{}, new(struct{}))
		}
		clients := []*rpc.Client{s.Client}
		for range 2 {
			other := rig.NewHost(t)
			if err := other.Connect(rig.Context(t), s.Host.Peerstore().PeerInfo(s.Dest)); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, tr.Client(t, other))
		}
		for _, c := range clients[:2] {
			held = append(held, rig.InBackground(func() error { return hold(c) }))
			rig.Take(t, "a call runs", h.Started)
			checkLimit(t, hold(c), codes.ResourceExhausted, map[int]string{1: "CallsPerPeer", 2: "Calls"}[len(held)])
		}
		checkLimit(t, hold(clients[2]), codes.ResourceExhausted, "Calls")
		for _, call := range held {
			h.Release <- struct{}{}
			if err := rig.Take(t, "a call ends", call); err != nil {
				t.Error(err)
			}
		}
	})
}

// A call of a method that is not there counts, so that looking for names is slow.
func TestRateOfEachPeersCalls(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		s := with(rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
			rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{Rate: 0.001, Burst: 3}),
			of("Divide", rpc.MethodConfig{Rate: -1}),
		}})
		multiply := func() error {
			return s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int))
		}
		if s.Dest == s.Sender {
			for range 10 {
				if err := multiply(); err != nil {
					t.Errorf("local: %v", err)
				}
			}
			return
		}
		if err := multiply(); err != nil {
			t.Error(err)
		}
		if err := rig.StreamOnce[rig.Quotient](t, s, "Divides", rig.Args{A: 7, B: 2}); err != nil {
			t.Error(err)
		}
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "NoSuch", 1, new(int))
		rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented)
		refused := map[string]error{
			"Multiply": multiply(),
			"Divides":  rig.StreamOnce[rig.Quotient](t, s, "Divides", rig.Args{A: 7, B: 2}),
			"NoSuch":   s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "NoSuch", 1, new(int)),
		}
		for method, err := range refused {
			e := checkLimit(t, err, codes.ResourceExhausted, "Rate", "Svc."+method, "0.001")
			wait := e.RetryAfter()
			if !e.Unsent() || wait < 900*time.Second || wait > 1000*time.Second || e.Details["rpc.retry-after"] != wait.String() {
				t.Errorf("%s: it tells to wait %v, with %v", method, wait, e.Details)
			}
		}
		for range 5 {
			err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Divide", rig.Args{A: 7, B: 2}, new(rig.Quotient))
			if err != nil {
				t.Errorf("a method whose rate is lifted: %v", err)
			}
		}
	})
}

// attempts notes when attempts began, and what they ended with.
type attempts struct {
	mu    sync.Mutex
	began []time.Time
	ended []time.Time
	errs  []error
}

func (a *attempts) intercept(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		began := time.Now()
		err := next(ctx, call)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.began, a.ended, a.errs = append(a.began, began), append(a.ended, time.Now()), append(a.errs, err)
		return err
	}
}

func TestRetryWaitsAsLongAsTheServerSays(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		seen := new(attempts)
		s := tr.With(t, rig.Arith{}, rig.Options{
			Server: []rpc.ServerOption{of("", rpc.MethodConfig{Rate: 2, Burst: 1})},
			Client: []rpc.ClientOption{rpc.WithClientInterceptors(seen.intercept), rpc.WithCallOptions(rig.Quickly(2))},
		})
		for range 2 {
			if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		waited := 0
		for i, err := range seen.errs {
			var e *rpc.Error
			if err == nil || !errors.As(err, &e) {
				continue
			}
			waited++
			if paused := seen.began[i+1].Sub(seen.ended[i]); e.RetryAfter() == 0 || paused < e.RetryAfter() {
				t.Errorf("told to wait %v, it paused for %v", e.RetryAfter(), paused)
			}
		}
		if waited == 0 {
			t.Error("no call was refused")
		}
	})
}

// The deadline comes before the wait is over.
func TestRetryThatWouldBeTooLateIsNotMade(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, rig.Arith{}, rig.Options{
			Server: []rpc.ServerOption{of("", rpc.MethodConfig{Rate: 0.001})},
			Client: []rpc.ClientOption{rpc.WithCallOptions(rig.Quickly(2))},
		})
		multiply := func(ctx context.Context) error {
			return s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int))
		}
		if err := multiply(rig.Context(t)); err != nil {
			t.Fatal(err)
		}
		e := checkLimit(t, rig.Promptly(t, func(context.Context) error { return multiply(rig.Context(t)) }), codes.ResourceExhausted, "Rate")
		if !e.Unsent() || e.RetryAfter() == 0 {
			t.Errorf("%+v", e)
		}
	})
}
