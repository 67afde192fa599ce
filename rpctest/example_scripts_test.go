package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Fail is for what goes wrong for a while.
func ExampleMethod_Fail() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{
			"Free": rpctest.Reply[struct{}](1),
			"Pin":  rpctest.Reply[string]("disk 1"),
		})
		pin := server.Method("Connector", "Pin")
		pin.Fail(1, &rpc.Error{Code: codes.Unavailable, Message: "cut off"})

		fmt.Println((&Tracker{client}).Track(context.Background(), "cid"))
		fmt.Println(pin.Calls()[0])
		fmt.Println(pin.Calls()[1])
	})
	// Output:
	// disk 1 <nil>
	// Connector.Pin(cid) from this process: cut off
	// Connector.Pin(cid) from this process: done
}

// Hold is for what is slow: the test looks at the component while it waits.
func ExampleMethod_Hold() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{
			"Free": rpctest.Reply[struct{}](1),
			"Pin":  rpctest.Reply[string]("disk 1"),
		})
		pin := server.Method("Connector", "Pin")
		release := pin.Hold(1)

		tracked := make(chan string)
		go func() {
			where, _ := (&Tracker{client}).Track(context.Background(), "cid")
			tracked <- where
		}()
		fmt.Println(pin.Wait(1)[0])
		release()
		fmt.Println(<-tracked)
	})
	// Output:
	// Connector.Pin(cid) from this process: under way
	// disk 1
}

// Block is for what takes for ever, until it is cancelled.
func ExampleMethod_Block() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{
			"Free": rpctest.Reply[struct{}](1),
			"Pin":  rpctest.Reply[string]("disk 1"),
		})
		pin := server.Method("Connector", "Pin")
		pin.Block(1)

		ctx, cancel := context.WithCancel(context.Background())
		tracked := make(chan error)
		go func() {
			_, err := (&Tracker{client}).Track(ctx, "cid")
			tracked <- err
		}()
		pin.Wait(1) // it is there: now it can be cancelled
		cancel()
		fmt.Println(errors.Is(<-tracked, context.Canceled))
		fmt.Println(pin.WaitDone(1)[0].Err)
	})
	// Output:
	// true
	// context canceled
}

// Panic is for what a broken component does to those that call it.
func ExampleMethod_Panic() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{"Free": rpctest.Reply[struct{}](1)})
		server.Method("Connector", "Free").Panic(rpctest.Every, "out of order")

		_, err := (&Tracker{client}).Track(context.Background(), "cid")
		fmt.Println(rpc.CodeOf(err))
	})
	// Output: Internal
}
