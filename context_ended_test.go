package rpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// checkEnded checks the error of a call by name whose context has ended: v0.6's
// text and predicates, and what the library's own error within says beside them.
func checkEnded(t testing.TB, err, want error, names ...string) {
	t.Helper()
	if err == nil || err.Error() != want.Error() || !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
		t.Errorf("%v (%v), not %v", err, rpc.CodeOf(err), want)
		return
	}
	if rpc.IsRPCError(err) || rpc.IsClientError(err) || rpc.IsServerError(err) || rpc.IsAuthorizationError(err) {
		t.Errorf("a predicate holds for %v", err)
	}
	var e *rpc.Error
	if !errors.As(err, &e) || e.Type() != rpc.NonRPCErr {
		t.Errorf("no error of the library's, or one of type %v, in %v", errKind(err), err)
		return
	}
	for _, name := range names {
		if !strings.Contains(e.Error(), name) {
			t.Errorf("%q is not in %q", name, e.Error())
		}
	}
}

// waits has methods that wait for their contexts.
type waits struct{ began chan struct{} }

func (w waits) One(ctx context.Context, _ int, _ *int) error {
	w.began <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (w waits) Many(ctx context.Context, _ <-chan int, _ chan<- int) error { return w.One(ctx, 0, nil) }

// callsByName are all the ways to call a method by its name.
var callsByName = map[string]func(ctx context.Context, s setup) []error{
	"CallContext": func(ctx context.Context, s setup) []error {
		return []error{s.client.CallContext(ctx, s.dest, "Svc", "One", 1, new(int))}
	},
	"GoContext": func(ctx context.Context, s setup) []error {
		done := make(chan *rpc.Call, 1)
		_ = s.client.GoContext(ctx, s.dest, "Svc", "One", 1, new(int), done)
		return []error{(<-done).Error}
	},
	"MultiCall": func(ctx context.Context, s setup) []error {
		return s.client.MultiCall([]context.Context{ctx}, []peer.ID{s.dest}, "Svc", "One", 1, []any{new(int)})
	},
	"MultiGo": func(ctx context.Context, s setup) []error {
		done := make(chan *rpc.Call, 1)
		_ = s.client.MultiGo([]context.Context{ctx}, []peer.ID{s.dest}, "Svc", "One", 1, []any{new(int)}, []chan *rpc.Call{done})
		return []error{(<-done).Error}
	},
	"Stream": func(ctx context.Context, s setup) []error {
		return []error{s.client.Stream(ctx, s.dest, "Svc", "Many", make(chan int), make(chan int))}
	},
	"MultiStream": func(ctx context.Context, s setup) []error {
		return s.client.MultiStream(ctx, []peer.ID{s.dest}, "Svc", "Many", make(chan int), make(chan int))
	},
}

func TestEndedContextOfCallsByNameHasItsText(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for name, call := range callsByName {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachTransport(t, func(t *testing.T, with func(any, options) setup) {
				svc := waits{make(chan struct{}, 1)}
				s := with(svc, options{})
				names := []string{"Svc.", "peer " + s.dest.String(), "context "}
				run := func(ctx context.Context, began func(), want error, names ...string) error {
					result := inBackground(func() []error { return call(ctx, s) })
					take(t, "the method runs", svc.began)
					began()
					err := take(t, "the call ends", result)[0]
					checkEnded(t, err, want, names...)
					return err
				}
				for range 2 { // by a session that is yet to be opened, and by one that is open
					ctx, cancel := context.WithCancel(testContext(t))
					_ = run(ctx, cancel, context.Canceled, names...)
				}
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				defer cancel()
				_ = run(ctx, func() {}, context.DeadlineExceeded, names...)

				caused, end := context.WithCancelCause(testContext(t))
				err := run(caused, func() { end(reason) }, context.Canceled, append(names, "enough")...)
				if !errors.Is(err, reason) {
					t.Errorf("the cause is not in %v", err)
				}

				over, cancel := context.WithCancel(context.Background())
				cancel()
				err = call(over, s)[0]
				checkEnded(t, err, context.Canceled, "Svc.")
				if !unsent(err) {
					t.Errorf("%v may have been sent", err)
				}
			})
		})
	}
}

func TestCallTimeoutOfCallsByNameHasTheContextsText(t *testing.T) {
	t.Parallel()
	forEachTransport(t, func(t *testing.T, with func(any, options) setup) {
		svc := waits{make(chan struct{}, 1)}
		s := with(svc, options{client: []rpc.ClientOption{rpc.WithCallTimeout(50 * time.Millisecond)}})
		for _, name := range []string{"CallContext", "GoContext", "MultiCall", "MultiGo"} {
			checkEnded(t, callsByName[name](context.Background(), s)[0], context.DeadlineExceeded, "Svc.One", s.dest.String())
			take(t, "the method runs", svc.began)
		}
	})
}

// passesOn returns the error of a call that it makes.
type passesOn struct {
	call func(ctx context.Context) error
}

func (p passesOn) Ask(ctx context.Context, _ int, _ *int) error { return p.call(ctx) }

// It is no end of the caller's own context, and what it says is the method's.
func TestEndedContextOfAMethodsOwnCallIsTheMethodsError(t *testing.T) {
	t.Parallel()
	for _, typed := range []bool{false, true} {
		t.Run(map[bool]string{false: "by name", true: "typed"}[typed], func(t *testing.T) {
			t.Parallel()
			forEachTransport(t, func(t *testing.T, with func(any, options) setup) {
				inner := newClientAndServer(t, waits{make(chan struct{}, 1)})
				one := rpc.NewMethod[int, int]("Svc", "One")
				s := with(passesOn{func(ctx context.Context) error {
					short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
					defer cancel()
					if typed {
						_, err := one.Call(short, inner, "", 1)
						return err
					}
					return inner.CallContext(short, "", "Svc", "One", 1, new(int))
				}}, options{})
				err := s.client.CallContext(testContext(t), s.dest, "Svc", "Ask", 1, new(int))
				text := "context deadline exceeded"
				if typed {
					text = "rpc: Svc.One: " + text
				}
				if !errors.Is(err, context.DeadlineExceeded) || err.Error() != text || rpc.IsRPCError(err) != typed {
					t.Errorf("%v, IsRPCError %v", err, rpc.IsRPCError(err))
				}
			})
		})
	}
}

// newClientAndServer returns a client of a server without a host.
func newClientAndServer(t *testing.T, svc any) *rpc.Client {
	c, s := localOnly(t, options{})
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return c
}

// A caller that has closed its replies has not cancelled anything.
func TestMultiStreamWhoseRepliesAreClosedTellsSo(t *testing.T) {
	t.Parallel()
	overAll(t, new(streaming), options{}, func(t *testing.T, s setup) {
		args, replies := make(chan int), make(chan int)
		close(replies)
		result := inBackground(func() []error {
			return s.client.MultiStream(testContext(t), []peer.ID{s.dest, s.dest}, "Svc", "Flood", args, replies)
		})
		for _, err := range take(t, "MultiStream returns", result) {
			checkErr(t, err, rpc.ClientErr, rpc.CodeFailedPrecondition, "Svc.Flood", "closed")
			if errors.Is(err, context.Canceled) {
				t.Errorf("%v is a cancellation", err)
			}
		}
	})
}
