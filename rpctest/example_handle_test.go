package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// A test keeps what the server serves in a file beside it, and fails when a change would
// break the peers that run the version before.
func ExampleSnapshot() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "rpc.json") // testdata/rpc.json in a real one
	server := rpc.NewServer(nil, "/store/1.0")
	defer server.Close()
	_ = Size.Handle(server, func(context.Context, string) (int, error) { return 3, nil })
	run(func(t testing.TB) {
		_ = os.Setenv(rpctest.UpdateVariable, "1") // when go test is run, and the change is meant
		rpctest.Snapshot(t, server, file)
		_ = os.Unsetenv(rpctest.UpdateVariable)
		rpctest.Snapshot(t, server, file)
		fmt.Println("failed:", t.Failed())
	})
	// Output: failed: false
}
