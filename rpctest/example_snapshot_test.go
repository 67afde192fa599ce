package rpctest_test

import (
	"context"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// cancelMethod took an int in the version that was released.
var cancelMethod = rpc.NewMethod[string, bool]("Shop", "Cancel")

// The file is what the released version described. A test that compares it with what is
// served today fails before the peers that run that version do.
func ExampleSnapshot() {
	run(func(t testing.TB) {
		server := rpctest.NewServer(t, nil, "/shop/1.0")
		err := cancelMethod.Handle(server.Server, func(context.Context, string) (bool, error) { return true, nil })
		if err != nil {
			t.Fatal(err)
		}
		rpctest.Snapshot(t, server.Server, "testdata/shop.json")
	})
	// Output:
	// FAIL: rpctest: peers of the version that wrote testdata/shop.json can no longer call this server:
	// breaking: Shop.Cancel: argument: the old version sends int (a number), and the new version takes string; keep the method as it is, and add another for the new types
	// RPCTEST_UPDATE=1 go test -run '^fake$' writes testdata/shop.json, once there are no such peers
}
