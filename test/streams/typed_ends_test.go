package streams_test

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
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
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
			return &rpc.Error{Code: codes.Aborted, Message: "failed"}
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
func overAllTyped(t *testing.T, o rig.Options, f func(*testing.T, rig.Setup, *typedStreaming)) {
	t.Helper()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s, svc := tr.Setup(t, o), newTypedStreaming()
			if err := svc.handle(s.Server); err != nil {
				t.Fatal(err)
			}
			f(t, s, svc)
		})
	}
}

func TestTypedStreamEndsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	overAllTyped(t, rig.Options{}, func(t *testing.T, s rig.Setup, _ *typedStreaming) {
		ctx := rig.Context(t)
		for _, c := range []struct {
			method  string
			code    codes.Code
			replies []int
		}{
			{"Missing", codes.Unimplemented, nil}, {"Fail", codes.Aborted, nil}, {"Nothing", codes.OK, nil},
			{"Three", codes.OK, []int{0, 1, 2}}, {"Panic", codes.Internal, []int{1}},
		} {
			call := typedDuplex(c.method).Open(ctx, s.Client, s.Dest)
			replies, err := rig.Received(ctx, t, call)
			if rpc.CodeOf(err) != c.code || !slices.Equal(replies, c.replies) {
				t.Errorf("%s: %v, %v", c.method, replies, err)
			}
			// Sending comes to know, too.
			call = typedDuplex(c.method).Open(ctx, s.Client, s.Dest)
			sent := rig.Take(t, "Send is told", rig.InBackground(func() error {
				for {
					if err := call.Send(ctx, 1); err != nil {
						return err
					}
				}
			}))
			if sent != io.EOF {
				t.Errorf("%s: Send: %v", c.method, sent)
			}
			if replies, err := rig.Received(ctx, t, call); rpc.CodeOf(err) != c.code || !slices.Equal(replies, c.replies) {
				t.Errorf("%s, after that: %v, %v", c.method, replies, err)
			}
			if _, err := call.Receive(ctx); err != io.EOF && rpc.CodeOf(err) != c.code {
				t.Errorf("%s: Receive, again: %v", c.method, err)
			}
			_ = call.Close()
		}
		if m := (rpc.NewMethod[int, int]("Svc", "Three")); true {
			_, err := m.Call(ctx, s.Client, s.Dest, 1)
			rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "Svc.Three", "streaming")
		}
	})
}

func TestUnauthorizedTypedStream(t *testing.T) {
	t.Parallel()
	s, svc := rig.Wire.Setup(t, rig.Options{Server: []rpc.ServerOption{
		rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }),
	}}), newTypedStreaming()
	if err := svc.handle(s.Server); err != nil {
		t.Fatal(err)
	}
	ctx := rig.Context(t)
	_, err := rig.Received(ctx, t, typedDuplex("Echo").Open(ctx, s.Client, s.Dest))
	rig.CheckErr(t, err, rpc.AuthorizationErr, codes.PermissionDenied, "Svc.Echo")
}

func TestTypedStreamWhoseItemCannotTravelSaysWhich(t *testing.T) {
	t.Parallel()
	s, svc := rig.Wire.Setup(t, rig.Options{}), newTypedStreaming()
	if err := svc.handle(s.Server); err != nil {
		t.Fatal(err)
	}
	ctx := rig.Context(t)
	anything := rpc.NewDuplex[any, int]("Svc", "Echo")
	call := anything.Open(ctx, s.Client, s.Dest)
	for _, a := range []any{1, 2, "three", 4} {
		if err := call.Send(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	replies, err := rig.Received(ctx, t, call)
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Echo", "argument 3", "int", "string")
	if !slices.Equal(replies, []int{1, 2}) {
		t.Errorf("replies %v", replies)
	}
	rig.CheckErr(t, rig.Take(t, "the method is told", svc.ended), rpc.ServerErr, codes.InvalidArgument, "argument 3")

	call = anything.Open(ctx, s.Client, s.Dest)
	_, _ = call.Send(ctx, 1), call.Send(ctx, make(chan int))
	_, err = rig.Received(ctx, t, call)
	rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Echo", "argument 2", "chan int")

	texts := rpc.NewDuplex[int, string]("Svc", "Three").Open(ctx, s.Client, s.Dest)
	_, err = rig.Received(ctx, t, texts)
	rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Three", "reply 1", "string")

	untyped, err := rig.Received(ctx, t, rpc.NewDuplex[int, any]("Svc", "Untyped").Open(ctx, s.Client, s.Dest))
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Untyped", "reply 3", "func")
	if len(untyped) != 2 {
		t.Errorf("replies %v", untyped)
	}
}

func TestLocalTypedStreamOfOtherTypesNamesThem(t *testing.T) {
	t.Parallel()
	c, server := rig.LocalOnly(t, rig.Options{})
	if err := newTypedStreaming().handle(server); err != nil {
		t.Fatal(err)
	}
	ctx := rig.Context(t)
	_, err := rig.Received(ctx, t, rpc.NewDuplex[string, int]("Svc", "Echo").Open(ctx, c, ""))
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Echo", "takes int", "string")
	_, err = rig.Received(ctx, t, rpc.NewDuplex[int, rig.Args]("Svc", "Echo").Open(ctx, c, ""))
	rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Echo", "int", "rig.Args")
	// What is assignable fits.
	replies, err := rig.Received(ctx, t, rpc.NewDuplex[int, any]("Svc", "Three").Open(ctx, c, ""))
	if err != nil || !slices.Equal(replies, []any{0, 1, 2}) {
		t.Errorf("as any: %v, %v", replies, err)
	}
}

func TestTypedStreamWithAnotherNumberOfItems(t *testing.T) {
	t.Parallel()
	forEachServing(t, rig.ByChannels{}, serveTypedStreams, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		// One reply is expected, and none or several come.
		none := rpc.NewClientStream[int, int]("Svc", "CountTo").Open(ctx, s.Client, s.Dest)
		_ = none.Send(ctx, 0)
		_, err := none.Finish(ctx)
		rig.CheckErr(t, err, rpc.ClientErr, codes.Internal, "Svc.CountTo", "without a reply", "peer "+s.Dest.String())
		many := rpc.NewClientStream[int, int]("Svc", "CountTo").Open(ctx, s.Client, s.Dest)
		_ = many.Send(ctx, 1000)
		n, err := many.Finish(ctx)
		rig.CheckErr(t, err, rpc.ClientErr, codes.Internal, "Svc.CountTo", "more than once")
		if n != 0 {
			t.Errorf("the first reply is %d", n)
		}
		if err := many.Send(ctx, 1); err != io.EOF {
			t.Errorf("Send after Finish: %v", err)
		}
	})
	for _, tr := range rig.Transports {
		t.Run("arguments/"+tr.Name, func(t *testing.T) {
			t.Parallel()
			s, began := tr.Setup(t, rig.Options{}), make(chan struct{}, 1)
			one := rpc.NewServerStream[int, int]("Svc", "One")
			err := one.Handle(s.Server, func(ctx context.Context, _ int, _ *rpc.Sender[int]) error {
				began <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx := rig.Context(t)
			args := make(chan int)
			close(args)
			_, err = rig.Stream(ctx, t, s, "One", args, 0)
			rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.One", "one argument", "none was sent")
			args = make(chan int, 2) // and open
			args <- 1
			result := rig.InBackground(func() error {
				_, err := rig.Stream(ctx, t, s, "One", args, 0)
				return err
			})
			rig.Take(t, "the method runs as soon as there is one", began)
			args <- 2
			err = rig.Take(t, "Stream returns", result)
			rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.One", "one argument", "second")
		})
	}
}

func TestTypedStreamWhoseContextEndsThoughNobodyHelps(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		for _, method := range []string{"Flood", "Wait", "Idle"} {
			t.Run(what+"/"+method, func(t *testing.T) {
				t.Parallel()
				overAllTyped(t, rig.Options{}, func(t *testing.T, s rig.Setup, svc *typedStreaming) {
					ctx, cancel := context.WithCancel(rig.Context(t))
					if what == "deadline" {
						ctx, cancel = context.WithTimeout(ctx, time.Second)
					}
					defer cancel()
					call := typedDuplex(method).Open(ctx, s.Client, s.Dest)
					for range 1000 { // more than it holds, or not, as the method wills
						if err := promptSend(call); err != nil {
							break
						}
					}
					if method == "Flood" {
						if _, err := call.Receive(ctx); err != nil {
							t.Fatal(err)
						}
						rig.RestsBelow(t, "the method waits for its caller", &svc.sent, 1<<40)
					} else {
						rig.Take(t, "the method runs", svc.began)
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
					if err := rig.Take(t, "the method is told", svc.ended); !errors.Is(err, want) {
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
