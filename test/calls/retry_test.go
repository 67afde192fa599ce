package calls_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

func TestRetriesOfWhatHasReachedTheMethod(t *testing.T) {
	t.Parallel()
	const many = 100
	idempotent, once := rpc.CallIdempotent(true), rpc.CallIdempotent(false)
	for _, c := range []struct {
		what  string
		opts  []rpc.CallOption
		own   []rpc.CallOption
		code  codes.Code
		times int32 // that it fails
		calls int32 // that it gets
	}{
		{"not asked for", nil, nil, codes.Unavailable, 1, 1},
		{"not asked for, idempotent", []rpc.CallOption{idempotent}, nil, codes.Unavailable, 1, 1},
		{"not idempotent", []rpc.CallOption{rig.Quickly(5)}, nil, codes.Unavailable, 1, 1},
		{"succeeds", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.Unavailable, 4, 5},
		{"gives up", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.Unavailable, many, 5},
		{"aborted", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.Aborted, 1, 2},
		{"the method's deadline", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.DeadlineExceeded, 1, 2},
		{"the method's quota", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.ResourceExhausted, 1, 2},
		{"its own error", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.Unknown, 1, 1},
		{"internal", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.Internal, 1, 1},
		{"canceled there", []rpc.CallOption{rig.Quickly(5), idempotent}, nil, codes.Canceled, 1, 1},
		{"as many as by default", []rpc.CallOption{rpc.CallRetry(rpc.RetryPolicy{Backoff: 1}), idempotent}, nil, codes.Unavailable, many, 3},
		{"by the call", nil, []rpc.CallOption{rig.Quickly(5), idempotent}, codes.Unavailable, 4, 5},
		{"turned off by the call", []rpc.CallOption{rig.Quickly(5), idempotent}, []rpc.CallOption{rig.Quickly(1)}, codes.Unavailable, 1, 1},
		{"not idempotent by the call", []rpc.CallOption{rig.Quickly(5), idempotent}, []rpc.CallOption{once}, codes.Unavailable, 1, 1},
	} {
		for _, tr := range rig.Transports {
			t.Run(tr.Name+"/"+c.what, func(t *testing.T) {
				t.Parallel()
				s := tr.Setup(t, rig.Options{})
				f := &rig.Unsteady{Err: &rpc.Error{Code: c.code, Message: "not now"}}
				f.Times.Store(c.times)
				r, err := f.Method(t, s.Server, c.opts...).Call(rig.Context(t), s.Client, s.Dest, 1, c.own...)
				if succeeds := c.calls > c.times; succeeds != (err == nil) || succeeds != (r == 42) || f.Calls.Load() != c.calls {
					t.Errorf("%d, %v after %d calls, and %d were due", r, err, f.Calls.Load(), c.calls)
				}
				if err != nil && (err.Error() != "not now" || rpc.CodeOf(err) != c.code) {
					t.Errorf("not the last attempt's error: %v", err)
				}
			})
		}
	}
}

// attempts notes each attempt that an interceptor sees.
type attempts struct {
	mu     sync.Mutex
	seen   []int
	infos  map[*rpc.CallInfo]bool
	before func(attempt int)
	after  func(attempt int, err error) error
}

func (a *attempts) intercept(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		a.mu.Lock()
		a.seen = append(a.seen, call.Attempt)
		if a.infos == nil {
			a.infos = make(map[*rpc.CallInfo]bool)
		}
		a.infos[call] = true
		a.mu.Unlock()
		if a.before != nil {
			a.before(call.Attempt)
		}
		err := next(ctx, call)
		if a.after != nil {
			err = a.after(call.Attempt, err)
		}
		return err
	}
}

func TestInterceptorsAndStatsSeeEachAttempt(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		a, told := new(attempts), &beginsAndEnds{}
		s := with(rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithClientInterceptors(a.intercept), rpc.WithClientStatsHandler(told)}})
		f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
		f.Times.Store(2)
		if r, err := f.Method(t, s.Server, rig.Quickly(5), rpc.CallIdempotent(true)).Call(rig.Context(t), s.Client, s.Dest, 1); err != nil || r != 42 {
			t.Fatalf("%d, %v", r, err)
		}
		if !slices.Equal(a.seen, []int{0, 1, 2}) || len(a.infos) != 3 {
			t.Errorf("saw %v of %d calls", a.seen, len(a.infos))
		}
		if want := []string{"begin", "end Unavailable", "begin", "end Unavailable", "begin", "end OK"}; !slices.Equal(told.lines(), want) {
			t.Errorf("told of %q", told.lines())
		}
	})
}

// beginsAndEnds is told of calls, not of what they carry.
type beginsAndEnds struct {
	mu   sync.Mutex
	told []string
}

func (b *beginsAndEnds) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (b *beginsAndEnds) HandleRPC(_ context.Context, s stats.RPCStats) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s := s.(type) {
	case *stats.Begin:
		b.told = append(b.told, "begin")
	case *stats.End:
		b.told = append(b.told, "end "+rpc.CodeOf(s.Error).String())
	}
}

func (b *beginsAndEnds) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

// A server that has no room refuses calls of any method, which are made again
// when it has.
func TestRefusedCallsAreRetried(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		b, svc := rig.NewHost(t), rig.NewHolder()
		rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{Calls: 1}))
		hold := rpc.NewMethod[struct{}, struct{}]("Svc", "Hold")
		other := rig.NewHost(t)
		rig.Connect(t, other, b)
		first := rig.InBackground(func() error {
			_, err := hold.Call(rig.Context(t), rig.Wire.Client(t, other), b.ID(), struct{}{})
			return err
		})
		rig.Take(t, "the other's call begins", svc.Started)

		a := rig.NewHost(t)
		rig.Connect(t, a, b)
		refused := make(chan error, 100)
		seen := &attempts{after: func(_ int, err error) error { refused <- err; return err }}
		c := tr.Client(t, a, rpc.WithClientInterceptors(seen.intercept), rpc.WithCallOptions(rig.Quickly(1000)))
		product := rig.InBackground(func() error {
			_, err := rig.MultiplyMethod.Call(rig.Context(t), c, b.ID(), &rig.Args{A: 6, B: 7})
			return err
		})
		for range 2 {
			rig.CheckErr(t, rig.Take(t, "it is refused", refused), rpc.ServerErr, codes.ResourceExhausted, "Limits.Calls")
		}
		svc.Release <- struct{}{}
		if err := rig.Take(t, "the call ends", product); err != nil {
			t.Error(err)
		}
		if err := rig.Take(t, "the other's call ends", first); err != nil {
			t.Error(err)
		}
	})
}

func TestCallsOfAPeerThatIsThereAtLastAreRetried(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, streaming := range []bool{false, true} {
			a, b := rig.NewHost(t), rig.NewHost(t)
			rig.Serve(t, b, rig.Arith{})
			seen := &attempts{before: func(attempt int) {
				if attempt == 2 {
					rig.Know(a, b)
				}
			}}
			c := tr.Client(t, a, rpc.WithClientInterceptors(seen.intercept), rpc.WithCallOptions(rig.Quickly(5)))
			if streaming {
				args, replies := make(chan rig.Args), make(chan rig.Quotient)
				rig.SendAll(rig.Context(t), args, rig.Args{A: 7, B: 2}, rig.Args{A: 9, B: 3})
				got := rig.Collect(replies)
				err := c.Stream(rig.Context(t), b.ID(), "Svc", "Divides", args, replies)
				if all := got(); err != nil || !slices.Equal(all, []rig.Quotient{{Quo: 3, Rem: 1}, {Quo: 3, Rem: 0}}) {
					t.Errorf("%v, %v", all, err)
				}
			} else if product, err := rig.MultiplyMethod.Call(rig.Context(t), c, b.ID(), &rig.Args{A: 6, B: 7}); err != nil || product != 42 {
				t.Errorf("%v, %v", product, err)
			}
			if !slices.Equal(seen.seen, []int{0, 1, 2}) {
				t.Errorf("made the attempts %v", seen.seen)
			}
		}
	})
}

// A stream that has begun may have taken arguments, and is not made again.
func TestStreamsThatHaveBegunAreNotRetried(t *testing.T) {
	t.Parallel()
	failStream := rpc.NewDuplex[int, int]("Svc", "Fails", rig.Quickly(5), rpc.CallIdempotent(true))
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var calls atomic.Int32
		s := with(rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(rig.Quickly(5), rpc.CallIdempotent(true))}})
		err := failStream.Handle(s.Server, func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error {
			calls.Add(1)
			return &rpc.Error{Code: codes.Unavailable, Message: "not now"}
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = rig.Stream(rig.Context(t), t, s, "Fails", make(chan int), 0)
		if rpc.CodeOf(err) != codes.Unavailable || calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
		call := failStream.Open(rig.Context(t), s.Client, s.Dest)
		defer call.Close()
		if _, err := call.Receive(rig.Context(t)); rpc.CodeOf(err) != codes.Unavailable || calls.Load() != 2 {
			t.Errorf("typed: %v after %d calls", err, calls.Load())
		}
	})
}

func TestNothingOfAFailedAttemptIsInTheReply(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var calls atomic.Int32
		s := with(rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(rig.Quickly(5), rpc.CallIdempotent(true))}})
		note := rig.MustHandle(t, s.Server, rpc.NewMethod[int, map[string]int]("Svc", "Note"), func(context.Context, int) (map[string]int, error) {
			n := calls.Add(1)
			if n%2 == 1 {
				return map[string]int{"failed": int(n)}, &rpc.Error{Code: codes.Unavailable, Message: "not now"}
			}
			return map[string]int{"succeeded": int(n)}, nil
		})
		want := map[string]int{"succeeded": 2}
		if r, err := note.Call(rig.Context(t), s.Client, s.Dest, 1); err != nil || !maps.Equal(r, want) {
			t.Errorf("typed: %v, %v", r, err)
		}
		calls.Store(0)
		var r map[string]int
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Note", 1, &r); err != nil || !maps.Equal(r, want) {
			t.Errorf("by name: %v, %v", r, err)
		}
	})
}

// That the last attempt was not sent is no news of those before it.
func TestCallWithAnAttemptThatWasSentIsNotUnsent(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		b, svc := rig.NewHost(t), rig.NewHolder()
		other := rig.NewHost(t)
		rig.Connect(t, other, b)
		s := rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{Calls: 1}))
		f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
		f.Times.Store(1)
		try := f.Method(t, s, rpc.CallIdempotent(true), rig.Quickly(2))

		// Between the two attempts another call takes the only slot.
		var occupied <-chan error
		seen := &attempts{before: func(attempt int) {
			if attempt == 1 {
				occupied = rig.InBackground(func() error { return rig.Wire.Client(t, other).Call(b.ID(), "Svc", "Hold", struct{}{}, &struct{}{}) })
				rig.Take(t, "the method begins", svc.Started)
			}
		}}
		a := rig.NewHost(t)
		rig.Connect(t, a, b)
		c := tr.Client(t, a, rpc.WithClientInterceptors(seen.intercept))
		_, err := try.Call(rig.Context(t), c, b.ID(), 1)
		if e := new(rpc.Error); !errors.As(err, &e) || e.Code != codes.ResourceExhausted || e.Unsent() || f.Calls.Load() != 1 {
			t.Errorf("%v is unsent, after %d calls", err, f.Calls.Load())
		}
		svc.Release <- struct{}{}
		if err := rig.Take(t, "the other call ends", occupied); err != nil {
			t.Error(err)
		}
	})
}

// An interceptor's own calls may fail before they are sent, which says nothing of the
// call that it is for.
func TestErrorOfAnotherCallDoesNotMakeACallUnsent(t *testing.T) {
	t.Parallel()
	nobody := rig.Client(t, rig.NewHost(t))
	audited := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, info *rpc.CallInfo) error {
			if err := next(ctx, info); err != nil {
				return err
			}
			return nobody.CallContext(ctx, "nobody", "Audit", "Note", 1, new(int))
		}
	}
	rig.OverAll(t, new(rig.RanCount), rig.Options{Client: []rpc.ClientOption{rpc.WithClientInterceptors(audited)}}, func(t *testing.T, s rig.Setup) {
		svc := new(rig.RanCount)
		if err := s.Server.RegisterName("Counted", svc); err != nil {
			t.Fatal(err)
		}
		for i, opts := range [][]rpc.CallOption{nil, {rig.Quickly(3)}} {
			_, err := rpc.NewMethod[int, string]("Counted", "Unary", opts...).Call(rig.Context(t), s.Client, s.Dest, 1)
			if ran := int(svc.Ran.Load()); err == nil || rig.Unsent(err) || ran != i+1 {
				t.Errorf("%d options: ran %d times in all, unsent %v: %v", len(opts), ran, rig.Unsent(err), err)
			}
		}
	})
}

func TestRetriesOfOneDestinationOfManyLeaveTheOthersAlone(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		s := with(rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(rig.Quickly(3), rpc.CallIdempotent(true))}})
		f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
		f.Times.Store(1)
		f.Method(t, s.Server)
		values, replies := rig.ReplyPointers[int](2)
		errs := s.Client.MultiCall(rig.Backgrounds(2), []peer.ID{s.Dest, s.Dest}, "Svc", "Try", 1, replies)
		if err := errors.Join(errs...); err != nil || *values[0] != 42 || *values[1] != 42 || f.Calls.Load() != 3 {
			t.Errorf("%v, %v after %d calls", fmt.Sprint(*values[0], *values[1]), err, f.Calls.Load())
		}
	})
}
