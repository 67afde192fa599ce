package streams_test

import (
	"context"
	"io"
	"runtime"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// exitsRead ends the goroutine that decodes it, and exitsWritten the one that encodes it.
type (
	exitsRead    struct{}
	exitsWritten struct{}
)

func (exitsRead) MarshalBinary() ([]byte, error)        { return []byte{1}, nil }
func (*exitsRead) UnmarshalBinary([]byte) error         { runtime.Goexit(); return nil }
func (exitsWritten) MarshalBinary() (_ []byte, _ error) { runtime.Goexit(); return }
func (*exitsWritten) UnmarshalBinary([]byte) error      { return nil }

// exitingCalls are streaming calls in which an item ends a goroutine of the library's.
// They return the error of the call.
func exitingCalls(t *testing.T, s rig.Setup) map[string]func(context.Context) error {
	drain := func(ctx context.Context, in func(context.Context) error) error {
		for {
			if err := in(ctx); err != nil {
				return err
			}
		}
	}
	up := rpc.NewClientStream[exitsRead, int]("Svc", "Up")
	down := rpc.NewServerStream[int, exitsWritten]("Svc", "Down")
	both := rpc.NewDuplex[exitsRead, exitsWritten]("Svc", "Both")
	sends := rpc.NewDuplex[exitsWritten, int]("Svc", "Sends")
	gets := rpc.NewDuplex[int, exitsRead]("Svc", "Gets")
	for _, err := range []error{
		up.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[exitsRead]) (int, error) {
			err := drain(ctx, func(ctx context.Context) error { _, err := in.Receive(ctx); return err })
			return 0, err
		}),
		down.Handle(s.Server, func(ctx context.Context, _ int, out *rpc.Sender[exitsWritten]) error {
			return out.Send(ctx, exitsWritten{})
		}),
		both.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[exitsRead], out *rpc.Sender[exitsWritten]) error {
			return out.Send(ctx, exitsWritten{})
		}),
		sends.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[exitsWritten], _ *rpc.Sender[int]) error {
			return drain(ctx, func(ctx context.Context) error { _, err := in.Receive(ctx); return err })
		}),
		gets.Handle(s.Server, func(ctx context.Context, _ *rpc.Receiver[int], out *rpc.Sender[exitsRead]) error {
			return out.Send(ctx, exitsRead{})
		}),
	} {
		if err := err; err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(context.Context) error{
		"an argument is read": func(ctx context.Context) error {
			call := up.Open(ctx, s.Client, s.Dest)
			_ = call.Send(ctx, exitsRead{})
			_, err := call.Finish(ctx)
			return err
		},
		"a reply is written": func(ctx context.Context) (err error) {
			for _, err = range down.Call(ctx, s.Client, s.Dest, 1) {
			}
			return err
		},
		"a reply is written, of a duplex stream": func(ctx context.Context) error {
			call := both.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			_, err := call.Receive(ctx)
			return err
		},
		"an argument is written": func(ctx context.Context) error {
			call := sends.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			_ = call.Send(ctx, exitsWritten{})
			_, err := call.Receive(ctx)
			return err
		},
		"a reply is read": func(ctx context.Context) error {
			call := gets.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			_, err := call.Receive(ctx)
			return err
		},
		"an argument is read, by channels": func(ctx context.Context) error {
			args, replies := make(chan exitsRead, 1), make(chan int)
			args <- exitsRead{}
			close(args)
			return s.Client.Stream(ctx, s.Dest, "Svc", "Up", args, replies)
		},
		"an argument is written, by channels": func(ctx context.Context) error {
			args, replies := make(chan exitsWritten, 1), make(chan int)
			args <- exitsWritten{}
			close(args)
			return s.Client.Stream(ctx, s.Dest, "Svc", "Sends", args, replies)
		},
	}
}

// What a type has to encode itself may end the goroutine that it runs in: its call ends
// then, and gives its place back.
func TestItemsThatEndTheirGoroutinesEndTheirCalls(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{Server: []rpc.ServerOption{rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 2}), rig.Quiet}})
		for name, call := range exitingCalls(t, s) {
			for range 3 { // more than there are places
				var err error
				rig.Eventually(t, "the place of the last is free", func() bool {
					err = rig.Take(t, name, rig.InBackground(func() error { return call(rig.Context(t)) }))
					return rpc.CodeOf(err) != codes.ResourceExhausted
				})
				if err == nil || err == io.EOF || rpc.CodeOf(err) == codes.DeadlineExceeded {
					t.Errorf("%s: it ends with %v", name, err)
				}
			}
		}
		_ = s.Client.Close()
		if err := s.Server.Shutdown(rig.Context(t)); err != nil {
			t.Errorf("the server has not lost a call: %v", err)
		}
	})
}
