package calls_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestNoRetryOutlastsTheDeadline(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		s := with(rig.Arith{}, rig.Options{})
		f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
		f.Times.Store(1)
		try := f.Method(t, s.Server, rpc.CallIdempotent(true), rpc.CallRetry(rpc.RetryPolicy{Backoff: 10 * time.Hour}))
		err := rig.Promptly(t, func(context.Context) error {
			_, err := try.Call(rig.Context(t), s.Client, s.Dest, 1)
			return err
		})
		if rpc.CodeOf(err) != codes.Unavailable || f.Calls.Load() != 1 {
			t.Errorf("%v after %d calls", err, f.Calls.Load())
		}
	})
}

func TestPauseBetweenAttemptsEndsWithTheContextOrTheClient(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		for _, closing := range []bool{false, true} {
			failed := make(chan struct{}, 1)
			seen := &attempts{after: func(_ int, err error) error { failed <- struct{}{}; return err }}
			f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
			f.Times.Store(1)
			s := with(rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithClientInterceptors(seen.intercept)}})
			try := f.Method(t, s.Server, rpc.CallIdempotent(true), rpc.CallRetry(rpc.RetryPolicy{Backoff: 10 * time.Hour}))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result := rig.InBackground(func() error {
				_, err := try.Call(ctx, s.Client, s.Dest, 1)
				return err
			})
			rig.Take(t, "the first attempt fails", failed)
			code := codes.Canceled
			if closing {
				code = codes.Unavailable
				_ = s.Client.Close()
			} else {
				cancel()
			}
			err := rig.Take(t, "the call ends", result)
			rig.CheckErr(t, err, rpc.ClientErr, code, "Svc.Try", "not now")
			if e := new(rpc.Error); !closing && !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Unsent() {
				t.Errorf("%v is not canceled, or unsent", err)
			}
		}
	})
}

func TestPausesGrowAndAreLongerWhereThereIsNoRoom(t *testing.T) {
	t.Parallel()
	policy := rpc.RetryPolicy{Attempts: 6, Backoff: time.Second, MaxBackoff: 4 * time.Second}
	for code, times := range map[codes.Code]time.Duration{codes.Unavailable: 1, codes.ResourceExhausted: 2} {
		synctest.Test(t, func(t *testing.T) {
			c, s := rig.LocalOnly(t, rig.Options{})
			var at []time.Time
			try := rig.MustHandle(t, s, rpc.NewMethod[int, int]("Svc", "Try", rpc.CallIdempotent(true), rpc.CallRetry(policy)), func(context.Context, int) (int, error) {
				at = append(at, time.Now())
				return 0, &rpc.Error{Code: code, Message: "not now"}
			})
			if _, err := try.Call(context.Background(), c, "", 1); rpc.CodeOf(err) != code {
				t.Errorf("got %v", err)
			}
			var pauses []time.Duration
			for i := range at[1:] {
				pause, about := at[i+1].Sub(at[i]), times*min(time.Second<<i, policy.MaxBackoff)
				if pauses = append(pauses, pause); pause < about/2 || pause > about*3/2+time.Microsecond {
					t.Errorf("%v: a pause of %v, and about %v was due", code, pause, about)
				}
			}
			slices.Sort(pauses)
			if len(slices.Compact(pauses)) != 5 {
				t.Errorf("%v: the pauses are not drawn at random: %v", code, pauses)
			}
		})
	}
}

func TestAttemptTimeoutBoundsEachAttempt(t *testing.T) {
	t.Parallel()
	attempt := rig.Slower(500 * time.Millisecond)
	policy := rpc.CallRetry(rpc.RetryPolicy{Backoff: time.Millisecond, AttemptTimeout: attempt})
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var calls atomic.Int32
		s := with(rig.Arith{}, rig.Options{})
		slow := rig.MustHandle(t, s.Server, rpc.NewMethod[int, int]("Svc", "Slow", policy), func(ctx context.Context, n int) (int, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return n, nil
		})
		// The attempts leave a busy machine the time to begin.
		if err := s.Client.Call(s.Dest, "Svc", "Multiply", &rig.Args{A: 6, B: 7}, new(int)); err != nil {
			t.Fatal(err)
		}
		_, err := slow.Call(context.Background(), s.Client, s.Dest, 42)
		if !errors.Is(err, context.DeadlineExceeded) || calls.Load() != 1 {
			t.Errorf("not idempotent: %v after %d calls", err, calls.Load())
		}
		if !strings.Contains(err.Error(), "RetryPolicy.AttemptTimeout, "+attempt.String()) {
			t.Errorf("the error does not say which time was over: %v", err)
		}
		calls.Store(0)
		if r, err := slow.Call(context.Background(), s.Client, s.Dest, 42, rpc.CallIdempotent(true)); err != nil || r != 42 || calls.Load() != 2 {
			t.Errorf("idempotent: %d, %v after %d calls", r, err, calls.Load())
		}
	})
}
