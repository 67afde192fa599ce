package rpctest_test

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// CheckLeaks comes first in a test, so that it looks when all else is closed.
func ExampleCheckLeaks() {
	run(func(t testing.TB) {
		rpctest.CheckLeaks(t)
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{"Free": rpctest.Reply[struct{}](1)})
		fmt.Println(client.Call("", "Connector", "Free", struct{}{}, new(int)))
	})
	// Output: <nil>
}
