package rpctest_test

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Until waits for any state of the calls: here for one call of each of two
// components, in whichever order.
func ExampleServer_Until() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Tracker", rpctest.Methods{"Recover": rpctest.Reply[string](true)})
		server.Mock("Monitor", rpctest.Methods{"Forget": rpctest.Reply[string](true)})

		go func() { // a component that does both when it finds a peer dead
			var ok bool
			_ = client.Go("", "Tracker", "Recover", "a peer", &ok, nil)
			_ = client.Call("", "Monitor", "Forget", "a peer", new(bool))
		}()
		server.Until("the peer is recovered from and forgotten", func(calls []rpctest.Call) bool {
			done := map[string]bool{}
			for _, c := range calls {
				done[c.Service] = c.Done && c.Args == "a peer"
			}
			return done["Tracker"] && done["Monitor"]
		})
		fmt.Println("done")
	})
	// Output: done
}
