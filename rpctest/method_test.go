package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type starter = func(testing.TB, ...rpc.ServerOption) (*rpc.Client, *rpctest.Server)

func TestScriptsAreCarriedOutInOrder(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		ran := 0
		server.Mock("Connector", rpctest.Methods{"Pin": func(context.Context, Pin, *string) error {
			ran++
			return nil
		}})
		pin := server.Method("Connector", "Pin")
		pin.Fail(2, errDisk)
		pin.Panic(1, "scripted")
		pin.Fail(1, errors.New("another"))
		var got []string
		for range 6 {
			var where string
			err := client.CallContext(testContext(t), server.ID(), "Connector", "Pin", Pin{}, &where)
			if rpc.CodeOf(err) == codes.Internal {
				err = errors.New("internal")
			}
			got = append(got, fmt.Sprint(err))
		}
		if want := fmt.Sprint([]string{errDisk.Error(), errDisk.Error(), "internal", "another", "<nil>", "<nil>"}); fmt.Sprint(got) != want {
			t.Errorf("got %v, not %v", got, want)
		}
		if ran != 2 {
			t.Errorf("the function ran %d times", ran)
		}
		if calls := pin.Calls(); len(calls) != 6 || rpc.CodeOf(calls[2].Err) != codes.Internal || !calls[2].Done {
			t.Errorf("recorded %v", calls)
		}
		pin.Fail(rpctest.Every, errDisk)
		for range 3 {
			var where string
			if err := client.Call(server.ID(), "Connector", "Pin", Pin{}, &where); err == nil {
				t.Error("Every ends")
			}
		}
		pin.Reset()
		var where string
		if err := client.Call(server.ID(), "Connector", "Pin", Pin{}, &where); err != nil {
			t.Errorf("after Reset: %v", err)
		}
	})
}

func TestScriptsOfStreams(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		server.Mock("Connector", rpctest.Methods{"Blocks": func(_ context.Context, in <-chan int, _ chan<- int) error {
			for range in {
			}
			return nil
		}})
		stream := func(ctx context.Context) error {
			args := make(chan int)
			go func() {
				defer close(args)
				select {
				case args <- 1:
				case <-ctx.Done():
				}
			}()
			return client.Stream(ctx, server.ID(), "Connector", "Blocks", args, make(chan int))
		}
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		blocks := server.Method("Connector", "Blocks")
		blocks.Fail(1, errDisk)
		if err := stream(ctx); err == nil || err.Error() != errDisk.Error() {
			t.Errorf("scripted to fail: %v", err)
		}
		blocks.Panic(1, "scripted")
		if err := stream(ctx); rpc.CodeOf(err) != codes.Internal {
			t.Errorf("scripted to panic: %v", err)
		}
		blocks.Block(1)
		result := make(chan error, 1)
		go func() { result <- stream(ctx) }()
		blocks.Wait(3)
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("scripted to block: %v", err)
		}
		if calls := blocks.WaitDone(3); !errors.Is(calls[2].Err, context.Canceled) {
			t.Errorf("recorded %v", calls)
		}
		if err := stream(testContext(t)); err != nil {
			t.Errorf("after the scripts: %v", err)
		}
		if calls := blocks.Calls(); len(calls) != 4 || len(calls[3].Items) != 1 || len(calls[0].Items) != 0 {
			t.Errorf("recorded %+v", calls)
		}
	})
}

func TestBlockWaitsForTheContextAndRecordsItsEnd(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		server.Mock("Connector", rpctest.Methods{"Pin": pinned})
		pin := server.Method("Connector", "Pin")
		pin.Block(2)
		ctx, cancel := context.WithCancel(testContext(t))
		result := make(chan error, 1)
		go func() {
			var where string
			result <- client.CallContext(ctx, server.ID(), "Connector", "Pin", Pin{"a", 1}, &where)
		}()
		if calls := pin.Wait(1); len(calls) != 1 || calls[0].Done || calls[0].Args != (Pin{"a", 1}) {
			t.Errorf("under way: %v", calls)
		}
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller gets %v", err)
		}
		if calls := pin.WaitDone(1); !errors.Is(calls[0].Err, context.Canceled) {
			t.Errorf("recorded %v", calls)
		}

		ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		var where string
		err := client.CallContext(ctx, server.ID(), "Connector", "Pin", Pin{"a", 1}, &where)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller gets %v", err)
		}
		// The deadline may have passed before the call had left.
		for _, c := range pin.Calls() {
			if c.Done && !errors.Is(c.Err, context.Canceled) && !errors.Is(c.Err, context.DeadlineExceeded) {
				t.Errorf("recorded %v", c)
			}
		}
	})
}

func TestHoldLetsCallsGoOnWhenReleased(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		server.Mock("Connector", rpctest.Methods{"Pin": rpctest.Reply[Pin]("disk")})
		pin := server.Method("Connector", "Pin")
		release := pin.Hold(2)
		defer release()
		results := make(chan string, 2)
		for range 2 {
			go func() {
				var where string
				err := client.CallContext(testContext(t), server.ID(), "Connector", "Pin", Pin{}, &where)
				results <- fmt.Sprint(where, " ", err)
			}()
		}
		for _, c := range pin.Wait(2) {
			if c.Done {
				t.Errorf("done before it was released: %v", c)
			}
		}
		var where string
		if err := client.Call(server.ID(), "Connector", "Pin", Pin{}, &where); err != nil || where != "disk" {
			t.Errorf("a third call: %q, %v", where, err)
		}
		if n := len(pin.WaitDone(1)); n != 1 {
			t.Errorf("%d calls are done", n)
		}
		release()
		release()
		for range 2 {
			if r := <-results; r != "disk <nil>" {
				t.Errorf("got %q", r)
			}
		}
		if n := len(pin.WaitDone(3)); n != 3 {
			t.Errorf("%d calls are done", n)
		}
	})
}

func TestHeldCallsEndWithTheTest(t *testing.T) {
	t.Parallel()
	result := make(chan error, 2)
	ft := runFake(func(ft testing.TB) {
		client, server := rpctest.Local(ft)
		server.Mock("Connector", rpctest.Methods{"Pin": pinned})
		pin := server.Method("Connector", "Pin")
		pin.Hold(1)
		pin.Block(1)
		for range 2 {
			go func() {
				var where string
				result <- client.Call("", "Connector", "Pin", Pin{}, &where)
			}()
		}
		pin.Wait(2)
	})
	for range 2 {
		if err := <-result; err == nil {
			t.Error("it goes on to the method")
		} else {
			says(t, err.Error(), "the test has ended")
		}
	}
	if ft.failed {
		t.Error(ft.output())
	}
}

func TestWaitingInVainFailsTheTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // whose clock does not wait
		for _, wait := range []func(*rpctest.Method){
			func(m *rpctest.Method) { m.Wait(2) },
			func(m *rpctest.Method) { m.WaitDone(2) },
		} {
			went := false
			ft := runFake(func(ft testing.TB) {
				client, server := rpctest.Local(ft)
				server.Mock("Connector", rpctest.Methods{"Pin": pinned, "Unpin": pinned})
				var where string
				_ = client.Call("", "Connector", "Pin", Pin{"the cid", 1}, &where)
				_ = client.Call("", "Connector", "Unpin", Pin{}, &where)
				wait(server.Method("Connector", "Pin"))
				went = true
			})
			if went || !ft.stopped {
				t.Errorf("went on %t, stopped %t", went, ft.stopped)
			}
			says(t, ft.output(), "not within 10s", "Connector.Pin", "2", "the cid", "Connector.Unpin")
		}
		ft := runFake(func(ft testing.TB) {
			_, server := rpctest.Local(ft)
			server.Until("the moon is blue", func([]rpctest.Call) bool { return false })
		})
		says(t, ft.output(), "the moon is blue", "none")
	})
}

func TestAScriptForNoCallsIsAMistake(t *testing.T) {
	t.Parallel()
	ft := runFake(func(ft testing.TB) {
		_, server := rpctest.Local(ft)
		server.Method("Connector", "Pin").Fail(0, errDisk)
	})
	if !ft.stopped {
		t.Error("it goes on")
	}
	says(t, ft.output(), "Connector.Pin", "0 calls")
}

func TestAFunctionMayLeaveItsArguments(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		client, server := start(t)
		server.Mock("Connector", rpctest.Methods{"Blocks": func(_ context.Context, in <-chan int, out chan<- int) error {
			out <- <-in
			return nil
		}})
		args, replies := make(chan int, 3), make(chan int, 3)
		args <- 1
		args <- 2
		args <- 3
		if err := client.Stream(testContext(t), server.ID(), "Connector", "Blocks", args, replies); err != nil {
			t.Error(err)
		}
		if calls := server.Calls(); len(calls) != 1 || len(calls[0].Items) != 1 || calls[0].Items[0] != 1 {
			t.Errorf("recorded %+v", calls)
		}
	})
}
