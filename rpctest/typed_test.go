package rpctest_test

import (
	"context"
	"io"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

var (
	triple = rpc.NewMethod[int, int]("Typed", "Triple")
	name   = rpc.NewMethod[struct{}, string]("Typed", "Name")
	count  = rpc.NewServerStream[int, int]("Typed", "Count")
	sum    = rpc.NewClientStream[int, int]("Typed", "Sum")
	relay  = rpc.NewDuplex[int, int]("Typed", "Relay")
)

func TestTypedMethodsCanBeServedRecordedAndScripted(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		m := rpctest.Handle(server, triple, func(_ context.Context, n int) (int, error) { return 3 * n, nil })
		rpctest.HandleReply(server, name, "Ada")
		server.Mock("Typed", rpctest.Methods{"Double": real{}.Double})
		m.Fail(1, errDisk)
		if _, err := triple.Call(testContext(t), client, server.ID(), 2); err == nil || err.Error() != errDisk.Error() {
			t.Errorf("scripted to fail: %v", err)
		}
		if n, err := triple.Call(testContext(t), client, server.ID(), 2); err != nil || n != 6 {
			t.Errorf("%d, %v", n, err)
		}
		double := rpc.NewMethod[int, int]("Typed", "Double") // a function is one too
		if n, err := double.Call(testContext(t), client, server.ID(), 2); err != nil || n != 4 {
			t.Errorf("%d, %v", n, err)
		}
		if got, err := name.Call(testContext(t), client, server.ID(), struct{}{}); err != nil || got != "Ada" {
			t.Errorf("%q, %v", got, err)
		}
		if calls := m.Calls(); len(calls) != 2 || calls[1].Args != 2 || calls[1].Reply != 6 {
			t.Errorf("recorded %+v", calls)
		}
		if calls := server.Calls(); len(calls) != 4 || calls[2].Args != 2 || calls[2].Reply != 4 || calls[3].Reply != "Ada" {
			t.Errorf("recorded %+v", calls)
		}
	})
}

func TestTypedStreamsCanBeServedRecordedAndScripted(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		ctx := testContext(t)
		counts := rpctest.Handle(server, count, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
			for i := range n {
				if err := out.Send(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
		rpctest.Handle(server, sum, func(ctx context.Context, in *rpc.Receiver[int]) (total int, err error) {
			for n, err := range in.All(ctx) {
				if err != nil {
					return 0, err
				}
				total += n
			}
			return total, nil
		})
		rpctest.Handle(server, relay, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
			n, err := in.Receive(ctx)
			if err != nil {
				return err
			}
			return out.Send(ctx, n)
		})

		counts.Fail(1, errDisk)
		for _, err := range count.Call(ctx, client, server.ID(), 2) {
			if err == nil || err.Error() != errDisk.Error() {
				t.Errorf("scripted to fail: %v", err)
			}
		}
		total := 0
		adding := sum.Open(ctx, client, server.ID())
		for n, err := range count.Call(ctx, client, server.ID(), 4) {
			if err != nil || adding.Send(ctx, n) != nil {
				t.Fatal(err)
			}
		}
		total, err := adding.Finish(ctx)
		if err != nil || total != 6 {
			t.Errorf("%d, %v", total, err)
		}
		relaying := relay.Open(ctx, client, server.ID())
		defer relaying.Close()
		_ = relaying.Send(ctx, 7)
		if n, err := relaying.Receive(ctx); err != nil || n != 7 {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := relaying.Receive(ctx); err != io.EOF {
			t.Errorf("%d, %v", n, err)
		}
		for _, c := range server.Calls() {
			if strings.Contains(c.String(), "items") || !strings.Contains(c.String(), "(a stream) from") {
				t.Errorf("what was sent is not known, and described as %q", c)
			}
		}
		if calls := counts.WaitDone(2); calls[0].Err == nil || calls[1].Err != nil || calls[1].Kind != rpc.Streaming {
			t.Errorf("recorded %+v", calls)
		}
	})
}

func TestTypedMethodsThatAreNotMockedFailTheTest(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		var unary, streaming error
		ft := runFake(func(ft testing.TB) {
			client, server := start(ft)
			rpctest.HandleReply(server, name, "Ada")
			_, unary = triple.Call(testContext(t), client, server.ID(), 2)
			for _, streaming = range count.Call(testContext(t), client, server.ID(), 2) {
			}
		})
		if len(ft.errors) != 2 || ft.stopped {
			t.Fatalf("stopped %t: %q", ft.stopped, ft.errors)
		}
		says(t, ft.errors[0], "unexpected call of Typed.Triple", "Typed has Name", "argument: 2")
		says(t, ft.errors[1], "unexpected call of Typed.Count", "Typed has Name")
		for _, err := range []error{unary, streaming} {
			if rpc.CodeOf(err) != codes.Unimplemented {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestPanicOfATypedFunctionFailsTheTest(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		var unary, streaming error
		ft := runFake(func(ft testing.TB) {
			client, server := start(ft)
			rpctest.Handle(server, triple, func(context.Context, int) (int, error) { panic("in Triple") })
			rpctest.Handle(server, count, func(context.Context, int, *rpc.Sender[int]) error { panic("in Count") })
			_, unary = triple.Call(testContext(t), client, server.ID(), 2)
			for _, streaming = range count.Call(testContext(t), client, server.ID(), 2) {
			}
		})
		if len(ft.errors) != 2 || ft.stopped {
			t.Fatalf("stopped %t: %q", ft.stopped, ft.errors)
		}
		says(t, ft.errors[0], "Typed.Triple panicked: in Triple", "typed_test.go")
		says(t, ft.errors[1], "Typed.Count panicked: in Count", "typed_test.go")
		for _, err := range []error{unary, streaming} {
			if rpc.CodeOf(err) != codes.Internal {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestTypedFunctionsThatCannotServeStopTheTest(t *testing.T) {
	t.Parallel()
	for want, handle := range map[string]func(*rpctest.Server){
		"method already defined: Typed.Name": func(s *rpctest.Server) {
			rpctest.HandleReply(s, name, "Ada")
			rpctest.HandleReply(s, name, "Bert")
		},
		"the function for Typed.Triple is nil": func(s *rpctest.Server) { rpctest.Handle(s, triple, nil) },
	} {
		ft := runFake(func(ft testing.TB) {
			_, server := rpctest.Local(ft)
			handle(server)
		})
		if !ft.stopped {
			t.Errorf("the test went on, which should say %q", want)
		}
		says(t, ft.output(), want)
	}
}

// Who mocks a method value by its names is told how it is done.
func TestMockOfATypedFunctionNamesHandle(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]any{
		"unary":         func(context.Context, int) (int, error) { return 0, nil },
		"server stream": func(context.Context, int, *rpc.Sender[int]) error { return nil },
		"client stream": func(context.Context, *rpc.Receiver[int]) (int, error) { return 0, nil },
		"duplex":        func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error { return nil },
	} {
		ft := runFake(func(ft testing.TB) {
			_, server := rpctest.Local(ft)
			server.Mock("Typed", rpctest.Methods{"Triple": f})
		})
		if !ft.stopped {
			t.Errorf("%s: the test went on", name)
		}
		says(t, ft.output(), "cannot register Typed.Triple", "rpctest.Handle")
	}
	ft := runFake(func(ft testing.TB) {
		_, server := rpctest.Local(ft)
		server.Mock("Typed", rpctest.Methods{"Triple": func(int) {}, "Name": "Ada", "None": nil})
	})
	if strings.Contains(ft.output(), "rpctest.Handle") {
		t.Errorf("what is no method value's is said to be: %s", ft.output())
	}
}
