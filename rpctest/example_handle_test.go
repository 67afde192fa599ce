package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Size is a method value, which a component and its tests share.
var Size = rpc.NewMethod[string, int]("Store", "Size")

// A component that calls method values is tested with functions of their types.
func ExampleHandle() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		size := rpctest.Handle(server, Size, func(_ context.Context, cid string) (int, error) {
			return len(cid), nil
		})
		size.Fail(1, errors.New("out of order"))

		fmt.Println(Size.Call(context.Background(), client, "", "cid"))
		fmt.Println(Size.Call(context.Background(), client, "", "cid"))
		fmt.Println(size.Calls()[1])
	})
	// Output:
	// 0 out of order
	// 3 <nil>
	// Store.Size(cid) from this process: done
}

// A method that always replies the same, but for what its script says until it is reset.
func ExampleHandleReply() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		size := rpctest.HandleReply(server, Size, 3)
		size.Fail(rpctest.Every, errors.New("out of order"))
		fmt.Println(Size.Call(context.Background(), client, "", "cid"))
		size.Reset()
		fmt.Println(Size.Call(context.Background(), client, "", "cid"))
	})
	// Output:
	// 0 out of order
	// 3 <nil>
}
