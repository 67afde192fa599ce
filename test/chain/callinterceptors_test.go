package chain_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// attempting returns an interceptor of calls that notes how many attempts there
// were, and one of attempts that notes which it is.
func (j *journal) attempting() (calls, attempts rpc.Interceptor) {
	note := func(what string, after func(*rpc.CallInfo) int) rpc.Interceptor {
		return func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				j.add("enter " + what + " " + strconv.Itoa(call.Attempt))
				err := next(ctx, call)
				j.add("leave " + what + " " + strconv.Itoa(after(call)) + " " + rpc.CodeOf(err).String())
				return err
			}
		}
	}
	return note("call", (*rpc.CallInfo).Attempts), note("attempt", func(call *rpc.CallInfo) int { return call.Attempt })
}

func TestCallInterceptorSeesACallOnceWithItsAttemptsInside(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		for _, retried := range []bool{false, true} {
			j := new(journal)
			calls, attempts := j.attempting()
			o := rig.Options{Client: []rpc.ClientOption{
				rpc.WithCallInterceptors(calls), rpc.WithClientInterceptors(attempts),
			}}
			if retried {
				o.Client = append(o.Client, rpc.WithCallOptions(rig.Quickly(5), rpc.CallIdempotent(true)))
			}
			s := with(new(flaky), o)
			for i := range 2 { // the second succeeds at once
				var r int
				err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Try", 100, &r)
				want := []string{"enter call 0", "enter attempt 0", "leave attempt 0 Unavailable", "leave call 1 Unavailable"}
				switch {
				case retried && i == 0:
					want = []string{
						"enter call 0", "enter attempt 0", "leave attempt 0 Unavailable", "enter attempt 1", "leave attempt 1 Unavailable",
						"enter attempt 2", "leave attempt 2 OK", "leave call 3 OK",
					}
				case retried:
					want = []string{"enter call 0", "enter attempt 0", "leave attempt 0 OK", "leave call 1 OK"}
				}
				if lines := j.take(); !slices.Equal(lines, want) || (err == nil) != retried || retried && r != 103+i {
					t.Errorf("retried: %v: got %v, and %d, %v", retried, lines, r, err)
				}
			}
		}
	})
}

func TestCallInterceptorsSeeEveryKindOfCall(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		j := new(journal)
		s := with(noted{j}, rig.Options{Client: []rpc.ClientOption{
			rpc.WithCallInterceptors(j.noting("1"), j.noting("2")), rpc.WithClientInterceptors(j.noting("attempt")),
			rpc.WithCallInterceptors(j.noting("3")), rpc.WithCallOptions(rig.Quickly(2)),
		}})
		want := []string{
			"enter 1", "enter 2", "enter 3", "enter attempt", "method", "leave attempt", "leave 3", "leave 2", "leave 1",
		}
		check := func(t *testing.T) {
			t.Helper()
			if lines := j.take(); !slices.Equal(lines, want) {
				t.Errorf("the order is %v", lines)
			}
		}
		doubling(t, s, func(t *testing.T, _ rpc.Kind, replies []int, err error) {
			doubled(t, replies, err)
			check(t)
		})
		t.Run("Go", func(t *testing.T) {
			done := make(chan *rpc.Call, 1)
			if err := s.Client.GoContext(rig.Context(t), s.Dest, "Svc", "Double", 21, new(int), done); err != nil {
				t.Fatal(err)
			}
			if call := rig.Take(t, "the call ends", done); call.Error != nil {
				t.Error(call.Error)
			}
			check(t)
		})
		t.Run("typed", func(t *testing.T) {
			if r, err := rpc.NewMethod[int, int]("Svc", "Double").Call(rig.Context(t), s.Client, s.Dest, 21); err != nil || r != 42 {
				t.Errorf("got %d, %v", r, err)
			}
			check(t)
		})
		t.Run("typed, streaming", func(t *testing.T) {
			for r, err := range rpc.NewServerStream[int, int]("Svc", "Doubles").Call(rig.Context(t), s.Client, s.Dest, 21) {
				if err != nil || r != 42 {
					t.Errorf("got %d, %v", r, err)
				}
			}
			check(t)
		})
	})
}

// A call interceptor may do what one of attempts may: refuse, reply, and panic.
func TestCallInterceptorsMayChangeACall(t *testing.T) {
	t.Parallel()
	errOwn := errors.New("own")
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		for name, c := range map[string]struct {
			does rpc.Handler // in place of next
			ok   func(r int, err error) bool
		}{
			"refuses": {func(context.Context, *rpc.CallInfo) error { return errOwn }, func(r int, err error) bool { return err == errOwn && r == 0 }},
			"replies": {func(_ context.Context, call *rpc.CallInfo) error {
				*call.Reply.(*int) = 7
				return nil
			}, func(r int, err error) bool { return r == 7 && err == nil }},
			"panics": {func(context.Context, *rpc.CallInfo) error { panic("in a test") }, func(_ int, err error) bool {
				return rpc.IsClientError(err) && rpc.CodeOf(err) == codes.Internal
			}},
		} {
			j := new(journal)
			s := with(noted{j}, rig.Options{Client: []rpc.ClientOption{
				rpc.WithCallInterceptors(func(rpc.Handler) rpc.Handler { return c.does }), rpc.WithCallOptions(rig.Quickly(3)),
			}})
			var r int
			if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Double", 21, &r); !c.ok(r, err) {
				t.Errorf("%s: got %d, %v", name, r, err)
			}
			if lines := j.take(); len(lines) > 0 {
				t.Errorf("%s: the method ran", name)
			}
		}
	})
}

// What a call interceptor adds to the context reaches the method beside what the
// caller has put there.
func TestCallInterceptorsContext(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		s := with(&seeing{}, rig.Options{Client: []rpc.ClientOption{
			rpc.WithCallInterceptors(func(next rpc.Handler) rpc.Handler {
				return func(ctx context.Context, call *rpc.CallInfo) error {
					return next(rpc.AppendMetadata(ctx, "b", "2"), call)
				}
			}),
		}})
		ctx := rpc.AppendMetadata(rig.Context(t), "a", "1")
		see(t, ctx, s, func(t *testing.T, got seenContext) {
			if got.Metadata["a"] != "1" || got.Metadata["b"] != "2" {
				t.Errorf("the method sees %v", got.Metadata)
			}
		})
	})
}
