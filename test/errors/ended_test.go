package errors_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// waits has methods that wait for their contexts.
type waits struct{ began chan struct{} }

func (w waits) One(ctx context.Context, _ int, _ *int) error {
	w.began <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (w waits) Many(ctx context.Context, _ <-chan int, _ chan<- int) error { return w.One(ctx, 0, nil) }

// callsByName are all the ways to call a method by its name.
var callsByName = map[string]func(ctx context.Context, s rig.Setup) []error{
	"CallContext": func(ctx context.Context, s rig.Setup) []error {
		return []error{s.Client.CallContext(ctx, s.Dest, "Svc", "One", 1, new(int))}
	},
	"GoContext": func(ctx context.Context, s rig.Setup) []error {
		done := make(chan *rpc.Call, 1)
		_ = s.Client.GoContext(ctx, s.Dest, "Svc", "One", 1, new(int), done)
		return []error{(<-done).Error}
	},
	"MultiCall": func(ctx context.Context, s rig.Setup) []error {
		return s.Client.MultiCall([]context.Context{ctx}, []peer.ID{s.Dest}, "Svc", "One", 1, []any{new(int)})
	},
	"MultiGo": func(ctx context.Context, s rig.Setup) []error {
		done := make(chan *rpc.Call, 1)
		_ = s.Client.MultiGo([]context.Context{ctx}, []peer.ID{s.Dest}, "Svc", "One", 1, []any{new(int)}, []chan *rpc.Call{done})
		return []error{(<-done).Error}
	},
	"Stream": func(ctx context.Context, s rig.Setup) []error {
		return []error{s.Client.Stream(ctx, s.Dest, "Svc", "Many", make(chan int), make(chan int))}
	},
	"MultiStream": func(ctx context.Context, s rig.Setup) []error {
		return s.Client.MultiStream(ctx, []peer.ID{s.Dest}, "Svc", "Many", make(chan int), make(chan int))
	},
}

func TestEndedContextOfCallsByNameHasItsText(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for name, call := range callsByName {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
				svc := waits{make(chan struct{}, 1)}
				s := with(svc, rig.Options{})
				names := []string{"Svc.", "peer " + s.Dest.String(), "context "}
				run := func(ctx context.Context, began func(), want error, names ...string) error {
					result := rig.InBackground(func() []error { return call(ctx, s) })
					rig.Take(t, "the method runs", svc.began)
					began()
					err := rig.Take(t, "the call ends", result)[0]
					rig.CheckEnded(t, err, want, names...)
					return err
				}
				for range 2 { // by a session that is yet to be opened, and by one that is open
					ctx, cancel := context.WithCancel(rig.Context(t))
					_ = run(ctx, cancel, context.Canceled, names...)
				}
				ctx, cancel := context.WithTimeout(context.Background(), rig.Slower(300*time.Millisecond))
				defer cancel()
				_ = run(ctx, func() {}, context.DeadlineExceeded, names...)

				caused, end := context.WithCancelCause(rig.Context(t))
				err := run(caused, func() { end(reason) }, context.Canceled, append(names, "enough")...)
				if !errors.Is(err, reason) {
					t.Errorf("the cause is not in %v", err)
				}

				over, cancel := context.WithCancel(context.Background())
				cancel()
				err = call(over, s)[0]
				rig.CheckEnded(t, err, context.Canceled, "Svc.")
				if !rig.Unsent(err) {
					t.Errorf("%v may have been sent", err)
				}
			})
		})
	}
}

func TestCallTimeoutOfCallsByNameHasTheContextsText(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		svc := waits{make(chan struct{}, 1)}
		s := with(svc, rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallTimeout(rig.Slower(300 * time.Millisecond)))}})
		for _, name := range []string{"CallContext", "GoContext", "MultiCall", "MultiGo"} {
			rig.CheckEnded(t, callsByName[name](context.Background(), s)[0], context.DeadlineExceeded, "Svc.One", s.Dest.String())
			rig.Take(t, "the method runs", svc.began)
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
			rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
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
				}}, rig.Options{})
				err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Ask", 1, new(int))
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
	c, s := rig.LocalOnly(t, rig.Options{})
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return c
}

// A caller that has closed its replies has not cancelled anything.
func TestMultiStreamWhoseRepliesAreClosedTellsSo(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, new(rig.Streaming), rig.Options{}, func(t *testing.T, s rig.Setup) {
		args, replies := make(chan int), make(chan int)
		close(replies)
		result := rig.InBackground(func() []error {
			return s.Client.MultiStream(rig.Context(t), []peer.ID{s.Dest, s.Dest}, "Svc", "Flood", args, replies)
		})
		for _, err := range rig.Take(t, "MultiStream returns", result) {
			rig.CheckErr(t, err, rpc.ClientErr, codes.FailedPrecondition, "Svc.Flood", "closed")
			if errors.Is(err, context.Canceled) {
				t.Errorf("%v is a cancellation", err)
			}
		}
	})
}
