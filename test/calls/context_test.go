package calls_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// timed tells of its contexts.
type timed struct {
	began chan struct{} // of those that wait
	ended chan error
}

// Left is how many seconds its caller gives it, -1 for no bound.
func (*timed) Left(ctx context.Context, _ struct{}, left *float64) error {
	*left = left1(ctx)
	return nil
}

func (*timed) Lefts(ctx context.Context, _ <-chan int, out chan<- float64) error {
	out <- left1(ctx)
	return nil
}

func left1(ctx context.Context) float64 {
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d).Seconds()
	}
	return -1
}

func (w *timed) Wait(ctx context.Context, _ struct{}, _ *int) error {
	w.began <- struct{}{}
	<-ctx.Done()
	w.ended <- ctx.Err()
	return ctx.Err()
}

func (w *timed) Waits(ctx context.Context, _ <-chan int, _ chan<- int) error {
	return w.Wait(ctx, struct{}{}, nil)
}

func (*timed) Fail(_ context.Context, which string, _ *int) error {
	return map[string]error{
		"canceled": context.Canceled,
		"deadline": context.DeadlineExceeded,
		"wrapped":  fmt.Errorf("giving up: %w", context.DeadlineExceeded),
	}[which]
}

func TestDeadlineReachesTheMethod(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, &timed{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		for ctx, ok := range map[context.Context]func(float64) bool{
			ctx:                  func(left float64) bool { return left > 3000 && left <= 3600 },
			context.Background(): func(left float64) bool { return left == -1 },
		} {
			var left float64
			if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Left", struct{}{}, &left); err != nil || !ok(left) {
				t.Errorf("unary: %v left, %v", left, err)
			}
			lefts := make(chan float64, 1)
			if err := s.Client.Stream(ctx, s.Dest, "Svc", "Lefts", make(chan int), lefts); err != nil {
				t.Error(err)
			}
			if left := <-lefts; !ok(left) {
				t.Errorf("streaming: %v left", left)
			}
		}
	})
}

func TestCallTimeoutBoundsUnaryCallsWithoutDeadline(t *testing.T) {
	t.Parallel()
	svc := &timed{make(chan struct{}, 100), make(chan error, 10)}
	rig.OverAll(t, svc, rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallTimeout(rig.Slower(time.Second)))}}, func(t *testing.T, s rig.Setup) {
		// The deadlines leave a busy machine the time to begin.
		if err := s.Client.Call(s.Dest, "Svc", "Fail", "", new(int)); err != nil {
			t.Fatal(err)
		}
		cancellable, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, ctx := range []context.Context{context.Background(), cancellable} {
			err := rig.Take(t, "the call ends", rig.InBackground(func() error {
				return s.Client.CallContext(ctx, s.Dest, "Svc", "Wait", struct{}{}, new(int))
			}))
			// The method has the same deadline, and its error may come first.
			if !errors.Is(err, context.DeadlineExceeded) || rpc.CodeOf(err) != codes.DeadlineExceeded {
				t.Errorf("got %v", err)
			}
			rig.Take(t, "the method ends", svc.ended)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		var left float64
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Left", struct{}{}, &left); err != nil || left < 3000 {
			t.Errorf("the caller's own deadline: %v left, %v", left, err)
		}
		lefts := make(chan float64, 1)
		if err := s.Client.Stream(context.Background(), s.Dest, "Svc", "Lefts", make(chan int), lefts); err != nil {
			t.Error(err)
		}
		if left := <-lefts; left != -1 {
			t.Errorf("a stream is bounded: %v left", left)
		}
	})
}

func TestContextErrorsHoldOnBothSides(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for _, method := range []string{"Wait", "Waits"} {
			for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
				t.Run(tr.Name+"/"+method+"/"+what, func(t *testing.T) {
					t.Parallel()
					svc := &timed{make(chan struct{}, 100), make(chan error, 1)}
					s := tr.With(t, svc, rig.Options{})
					// The deadline leaves a busy machine the time to begin.
					if err := s.Client.Call(s.Dest, "Svc", "Fail", "", new(int)); err != nil {
						t.Fatal(err)
					}
					for range 3 {
						ctx, cancel := context.WithTimeout(context.Background(), rig.Slower(500*time.Millisecond))
						if what == "canceled" {
							cancel()
							ctx, cancel = context.WithCancel(context.Background())
							go func() {
								<-svc.began
								cancel()
							}()
						}
						err := rig.Take(t, "the call returns", rig.InBackground(func() error {
							if method == "Wait" {
								return s.Client.CallContext(ctx, s.Dest, "Svc", method, struct{}{}, new(int))
							}
							return s.Client.Stream(ctx, s.Dest, "Svc", method, make(chan int), make(chan int))
						}))
						if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
							t.Errorf("the caller got %v", err)
						}
						if err := rig.Take(t, "the method ends", svc.ended); err != want {
							t.Errorf("the method got %v", err)
						}
						cancel()
					}
				})
			}
		}
	}
}

func TestContextErrorsOfMethodsReachTheCaller(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, &timed{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for which, want := range map[string]error{
			"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "wrapped": context.DeadlineExceeded,
		} {
			err := s.Client.Call(s.Dest, "Svc", "Fail", which, new(int))
			if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) || rpc.IsRPCError(err) {
				t.Errorf("%s: got %v", which, err)
			}
		}
	})
}

func TestEndedContextMakesNoCall(t *testing.T) {
	t.Parallel()
	svc := new(rig.RanCount)
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		late, cancel := context.WithTimeout(context.Background(), -1)
		defer cancel()
		for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
			for _, err := range []error{
				s.Client.CallContext(ctx, s.Dest, "Svc", "Unary", 1, new(string)),
				s.Client.Stream(ctx, s.Dest, "Svc", "Streaming", make(chan int), make(chan string)),
			} {
				rig.CheckEnded(t, err, want, "Svc.")
			}
		}
		if n := svc.Ran.Load(); n != 0 {
			t.Errorf("%d methods ran", n)
		}
	})
}

// deriving is a stats handler that makes a context of its own of each call's.
type deriving struct{ cancels chan context.CancelFunc }

func (d deriving) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	d.cancels <- cancel
	return ctx
}

func (deriving) HandleRPC(context.Context, stats.RPCStats) {}

func TestCancellationReachesAMethodThroughADerivedContext(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		d := deriving{make(chan context.CancelFunc, 1)}
		svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
		s := with(svc, rig.Options{Server: []rpc.ServerOption{rpc.WithServerStatsHandler(d)}})
		ctx, cancel := context.WithCancel(rig.Context(t))
		result := rig.InBackground(func() error {
			return s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int))
		})
		rig.Take(t, "the method begins", svc.Started)
		cancel()
		rig.Take(t, "the call ends", result)
		rig.Take(t, "the method is told", svc.Ended)
		rig.Take(t, "the context of the handler", d.cancels)()
	})
}
