package rpc_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// typedStreaming has typed methods of every bad habit.
type typedStreaming struct {
	sent  atomic.Int64
	began chan struct{}
	ended chan error // what their last Send, Receive or context told
}

func newTypedStreaming() *typedStreaming {
	return &typedStreaming{began: make(chan struct{}, 100), ended: make(chan error, 100)}
}

func typedDuplex(name string) *rpc.Duplex[int, int] { return rpc.NewDuplex[int, int]("Svc", name) }

type handleDuplex = func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error

func (s *typedStreaming) handle(server *rpc.Server) error {
	for name, f := range map[string]handleDuplex{
		"Fail": func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error {
			return &rpc.Error{Code: rpc.CodeAborted, Message: "failed"}
		},
		"Nothing": func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error { return nil },
		"Three": func(ctx context.Context, _ *rpc.Receiver[int], out *rpc.Sender[int]) error {
			for i := range 3 {
				_ = out.Send(ctx, i)
			}
			return nil
		},
		"Panic": func(ctx context.Context, _ *rpc.Receiver[int], out *rpc.Sender[int]) error {
			_ = out.Send(ctx, 1)
			panic("told to")
		},
		// Flood sends for as long as it can, and looks at no context.
		"Flood": func(_ context.Context, _ *rpc.Receiver[int], out *rpc.Sender[int]) error {
			for {
				if err := out.Send(context.Background(), 1); err != nil {
					s.ended <- err
					return err
				}
				s.sent.Add(1)
			}
		},
		// Wait receives until it cannot.
		"Wait": func(_ context.Context, in *rpc.Receiver[int], _ *rpc.Sender[int]) error {
			s.began <- struct{}{}
			for {
				if _, err := in.Receive(context.Background()); err != nil {
					s.ended <- err
					return err
				}
			}
		},
		// Idle receives nothing.
		"Idle": func(ctx context.Context, _ *rpc.Receiver[int], _ *rpc.Sender[int]) error {
			s.began <- struct{}{}
			<-ctx.Done()
			s.ended <- ctx.Err()
			return ctx.Err()
		},
		"Echo": func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
			for n, err := range in.All(ctx) {
				if err == nil {
					err = out.Send(ctx, n)
				}
				if err != nil {
					s.ended <- err
					return nil // the caller is told all the same
				}
			}
			return nil
		},
		// Late leaves its ends to a goroutine that outlives it.
		"Late": func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
			go func() {
				<-ctx.Done()
				s.ended <- out.Send(context.Background(), 1)
				_, err := in.Receive(context.Background())
				s.ended <- err
			}()
			return nil
		},
	} {
		if err := typedDuplex(name).Handle(server, f); err != nil {
			return err
		}
	}
	untyped := rpc.NewDuplex[int, any]("Svc", "Untyped")
	return untyped.Handle(server, func(ctx context.Context, _ *rpc.Receiver[int], out *rpc.Sender[any]) error {
		for _, r := range []any{1, 2, func() {}} {
			_ = out.Send(ctx, r)
		}
		return nil
	})
}

// overAllTyped runs f over every transport, with the methods of svc.
func overAllTyped(t *testing.T, o options, f func(*testing.T, setup, *typedStreaming)) {
	t.Helper()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s, svc := tr.setup(t, o), newTypedStreaming()
			if err := svc.handle(s.server); err != nil {
				t.Fatal(err)
			}
			f(t, s, svc)
		})
	}
}

// received receives all there is.
func received[A, R any](ctx context.Context, t testing.TB, call *rpc.DuplexCall[A, R]) ([]R, error) {
	t.Helper()
	type result struct {
		all []R
		err error
	}
	r := take(t, "the replies end", inBackground(func() (r result) {
		for v, err := range call.All(ctx) {
			if err != nil {
				r.err = err
				break
			}
			r.all = append(r.all, v)
		}
		return r
	}))
	return r.all, r.err
}

func TestTypedStreamEndsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	overAllTyped(t, options{}, func(t *testing.T, s setup, _ *typedStreaming) {
		ctx := testContext(t)
		for _, c := range []struct {
			method  string
			code    rpc.Code
			replies []int
		}{
			{"Missing", rpc.CodeUnimplemented, nil}, {"Fail", rpc.CodeAborted, nil}, {"Nothing", rpc.CodeOK, nil},
			{"Three", rpc.CodeOK, []int{0, 1, 2}}, {"Panic", rpc.CodeInternal, []int{1}},
		} {
			call := typedDuplex(c.method).Open(ctx, s.client, s.dest)
			replies, err := received(ctx, t, call)
			if rpc.CodeOf(err) != c.code || !slices.Equal(replies, c.replies) {
				t.Errorf("%s: %v, %v", c.method, replies, err)
			}
			// Sending comes to know, too.
			call = typedDuplex(c.method).Open(ctx, s.client, s.dest)
			sent := take(t, "Send is told", inBackground(func() error {
				for {
					if err := call.Send(ctx, 1); err != nil {
						return err
					}
				}
			}))
			if sent != io.EOF {
				t.Errorf("%s: Send: %v", c.method, sent)
			}
			if replies, err := received(ctx, t, call); rpc.CodeOf(err) != c.code || !slices.Equal(replies, c.replies) {
				t.Errorf("%s, after that: %v, %v", c.method, replies, err)
			}
			if _, err := call.Receive(ctx); err != io.EOF && rpc.CodeOf(err) != c.code {
				t.Errorf("%s: Receive, again: %v", c.method, err)
			}
			_ = call.Close()
		}
		if m := (rpc.NewMethod[int, int]("Svc", "Three")); true {
			_, err := m.Call(ctx, s.client, s.dest, 1)
			checkErr(t, err, rpc.ServerErr, rpc.CodeUnimplemented, "Svc.Three", "streaming")
		}
	})
}

func TestUnauthorizedTypedStream(t *testing.T) {
	t.Parallel()
	s, svc := transports[1].setup(t, options{server: []rpc.ServerOption{
		rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }),
	}}), newTypedStreaming()
	if err := svc.handle(s.server); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	_, err := received(ctx, t, typedDuplex("Echo").Open(ctx, s.client, s.dest))
	checkErr(t, err, rpc.AuthorizationErr, rpc.CodePermissionDenied, "Svc.Echo")
}

func TestTypedStreamWhoseItemCannotTravelSaysWhich(t *testing.T) {
	t.Parallel()
	s, svc := transports[1].setup(t, options{}), newTypedStreaming()
	if err := svc.handle(s.server); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	anything := rpc.NewDuplex[any, int]("Svc", "Echo")
	call := anything.Open(ctx, s.client, s.dest)
	for _, a := range []any{1, 2, "three", 4} {
		if err := call.Send(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	replies, err := received(ctx, t, call)
	checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.Echo", "argument 3", "int", "string")
	if !slices.Equal(replies, []int{1, 2}) {
		t.Errorf("replies %v", replies)
	}
	checkErr(t, take(t, "the method is told", svc.ended), rpc.ServerErr, rpc.CodeInvalidArgument, "argument 3")

	call = anything.Open(ctx, s.client, s.dest)
	_, _ = call.Send(ctx, 1), call.Send(ctx, make(chan int))
	_, err = received(ctx, t, call)
	checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc.Echo", "argument 2", "chan int")

	texts := rpc.NewDuplex[int, string]("Svc", "Three").Open(ctx, s.client, s.dest)
	_, err = received(ctx, t, texts)
	checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc.Three", "reply 1", "string")

	untyped, err := received(ctx, t, rpc.NewDuplex[int, any]("Svc", "Untyped").Open(ctx, s.client, s.dest))
	checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.Untyped", "reply 3", "func")
	if len(untyped) != 2 {
		t.Errorf("replies %v", untyped)
	}
}

func TestLocalTypedStreamOfOtherTypesNamesThem(t *testing.T) {
	t.Parallel()
	c, server := localOnly(t, options{})
	if err := newTypedStreaming().handle(server); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	_, err := received(ctx, t, rpc.NewDuplex[string, int]("Svc", "Echo").Open(ctx, c, ""))
	checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.Echo", "takes int", "string")
	_, err = received(ctx, t, rpc.NewDuplex[int, Args]("Svc", "Echo").Open(ctx, c, ""))
	checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc.Echo", "int", "rpc_test.Args")
	// What is assignable fits.
	replies, err := received(ctx, t, rpc.NewDuplex[int, any]("Svc", "Three").Open(ctx, c, ""))
	if err != nil || !slices.Equal(replies, []any{0, 1, 2}) {
		t.Errorf("as any: %v, %v", replies, err)
	}
}

func TestTypedStreamWithAnotherNumberOfItems(t *testing.T) {
	t.Parallel()
	forEachServing(t, byChannels{}, serveTypedStreams, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		// One reply is expected, and none or several come.
		none := rpc.NewClientStream[int, int]("Svc", "CountTo").Open(ctx, s.client, s.dest)
		_ = none.Send(ctx, 0)
		_, err := none.Finish(ctx)
		checkErr(t, err, rpc.ClientErr, rpc.CodeInternal, "Svc.CountTo", "without a reply", "peer "+s.dest.String())
		many := rpc.NewClientStream[int, int]("Svc", "CountTo").Open(ctx, s.client, s.dest)
		_ = many.Send(ctx, 1000)
		n, err := many.Finish(ctx)
		checkErr(t, err, rpc.ClientErr, rpc.CodeInternal, "Svc.CountTo", "more than once")
		if n != 0 {
			t.Errorf("the first reply is %d", n)
		}
		if err := many.Send(ctx, 1); err != io.EOF {
			t.Errorf("Send after Finish: %v", err)
		}
	})
	for _, tr := range transports {
		t.Run("arguments/"+tr.name, func(t *testing.T) {
			t.Parallel()
			s, began := tr.setup(t, options{}), make(chan struct{}, 1)
			one := rpc.NewServerStream[int, int]("Svc", "One")
			err := one.Handle(s.server, func(ctx context.Context, _ int, _ *rpc.Sender[int]) error {
				began <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx := testContext(t)
			args := make(chan int)
			close(args)
			_, err = stream(ctx, t, s, "One", args, 0)
			checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.One", "one argument", "none was sent")
			args = make(chan int, 2) // and open
			args <- 1
			result := inBackground(func() error {
				_, err := stream(ctx, t, s, "One", args, 0)
				return err
			})
			take(t, "the method runs as soon as there is one", began)
			args <- 2
			err = take(t, "Stream returns", result)
			checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.One", "one argument", "second")
		})
	}
}

func TestTypedStreamWhoseContextEndsThoughNobodyHelps(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		for _, method := range []string{"Flood", "Wait", "Idle"} {
			t.Run(what+"/"+method, func(t *testing.T) {
				t.Parallel()
				overAllTyped(t, options{}, func(t *testing.T, s setup, svc *typedStreaming) {
					ctx, cancel := context.WithCancel(testContext(t))
					if what == "deadline" {
						ctx, cancel = context.WithTimeout(ctx, time.Second)
					}
					defer cancel()
					call := typedDuplex(method).Open(ctx, s.client, s.dest)
					for range 1000 { // more than it holds, or not, as the method wills
						if err := promptSend(call); err != nil {
							break
						}
					}
					if method == "Flood" {
						if _, err := call.Receive(ctx); err != nil {
							t.Fatal(err)
						}
						restsBelow(t, "the method waits for its caller", &svc.sent, 1<<40)
					} else {
						take(t, "the method runs", svc.began)
					}
					if what == "canceled" {
						cancel()
					}
					// With a context of its own, Receive tells how the call ended.
					var err error
					for err == nil {
						_, err = call.Receive(context.Background())
					}
					if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
						t.Errorf("the caller got %v", err)
					}
					if err := call.Send(context.Background(), 1); err != io.EOF {
						t.Errorf("Send after the end: %v", err)
					}
					if err := take(t, "the method is told", svc.ended); !errors.Is(err, want) {
						t.Errorf("the method got %v", err)
					}
				})
			})
		}
	}
}

// promptSend is a Send that does not wait long.
func promptSend(call *rpc.DuplexCall[int, int]) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	return call.Send(ctx, 1)
}
