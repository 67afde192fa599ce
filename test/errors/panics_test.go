package errors_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// panics has methods that break, each in its own way.
type panics struct{ rig.Arith }

const secret = "the password is swordfish"

func (panics) Text(context.Context, struct{}, *int) error { panic(secret) }

func (panics) Error(context.Context, struct{}, *int) error { panic(errors.New(secret)) }

func (panics) Nil(context.Context, struct{}, *int) error {
	var p *rig.Args
	p.A++
	return nil
}

func (panics) Stream(_ context.Context, in <-chan int, out chan<- int) error {
	out <- <-in
	panic(secret)
}

func (panics) TwiceClosed(_ context.Context, _ <-chan int, out chan<- int) error {
	close(out)
	close(out)
	return nil
}

func (panics) Late(_ context.Context, _ <-chan int, out chan<- int) error {
	close(out)
	out <- 1
	return nil
}

func TestPanicOfAMethodIsAnInternalErrorWithItsStackInTheLog(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for _, method := range []string{"Text", "Error", "Nil", "Stream", "TwiceClosed", "Late"} {
			t.Run(tr.Name+"/"+method, func(t *testing.T) {
				t.Parallel()
				var log rig.SyncBuffer
				s := tr.With(t, panics{}, rig.Options{Server: []rpc.ServerOption{log.Option()}})
				var err error
				switch method {
				case "Text", "Error", "Nil":
					err = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", method, struct{}{}, new(int))
				default:
					args, replies := make(chan int, 1), make(chan int)
					args <- 7 // and it stays open
					got := rig.Collect(replies)
					err = s.Client.Stream(rig.Context(t), s.Dest, "Svc", method, args, replies)
					if n := len(got()); method == "Stream" && n != 1 {
						t.Errorf("%d replies from before the panic, not 1", n)
					}
				}
				if rpc.CodeOf(err) != codes.Internal || !rpc.IsServerError(err) {
					t.Fatalf("got %v", err)
				}
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the value of the panic travels: %v", err)
				}
				if method == "Text" || method == "Error" || method == "Stream" {
					if !strings.Contains(log.String(), secret) {
						t.Error("the value of the panic is not in the log")
					}
				}
				for _, want := range []string{"Svc." + method, "panics." + method, "goroutine "} {
					if !strings.Contains(log.String(), want) {
						t.Errorf("no %q in the log", want)
					}
				}
				var n int
				if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
					t.Fatalf("afterwards %d, %v", n, err)
				}
			})
		}
	}
}

func TestPanicSendsNeitherValueNorStack(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, panics{})
	for method, arg := range map[string]string{"Text": "\x80", "Error": "\x80", "Nil": "\x80", "Stream": "\x07"} {
		st := rig.Open(t, a, b, rig.Protocol)
		rig.Write(t, st, rig.Cat(rig.Header("Svc", method), arg))
		if method == "Stream" {
			_ = st.CloseWrite()
		}
		got, err := io.ReadAll(st)
		if err != nil {
			t.Fatal(err)
		}
		all := rig.Answers(t, got)
		if last := all[len(all)-1]; last.Error == "" || last.ErrType != rpc.ServerErr {
			t.Errorf("%s: no error: %q", method, got)
		}
		for _, no := range []string{secret, "goroutine", ".go:", "nil pointer", "runtime"} {
			if bytes.Contains(got, []byte(no)) {
				t.Errorf("%s: %q travels: %q", method, no, got)
			}
		}
	}
}

// quits has methods that end their goroutines, as a test's Fatal does.
type quits struct{ rig.Arith }

func (quits) Stream(context.Context, <-chan int, chan<- int) error {
	runtime.Goexit()
	return nil
}

// The call that follows is often made of the same memory, in which nothing of
// the last may go on. Not parallel, for it looks at all goroutines.
func TestStreamingMethodThatEndsItsGoroutine(t *testing.T) {
	typed := rpc.NewDuplex[int, int]("Typed", "Stream")
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			s := tr.With(t, quits{}, rig.Options{})
			err := typed.Handle(s.Server, func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error {
				runtime.Goexit()
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				args := make(chan int, 1)
				args <- 1
				if _, err := rig.Stream(rig.Context(t), t, s, "Stream", args, 0); rpc.CodeOf(err) == codes.OK || !rpc.IsRPCError(err) {
					t.Fatalf("got %v", err)
				}
				close(args)
				call := typed.Open(rig.Context(t), s.Client, s.Dest)
				if _, err := call.Receive(rig.Context(t)); !rpc.IsRPCError(err) {
					t.Fatalf("got %v", err)
				}
				_ = call.Close()
			}
			rig.NoGoroutineStays(t)
		})
	}
}
