package rpctest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// A call of a method that the test has not provided fails the test, and says
// which it was.
func ExampleServer_Mock() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{"Free": rpctest.Reply[struct{}](1)})

		_, err := (&Tracker{client}).Track(context.Background(), "cid")
		fmt.Println("the component sees:", err)
	})
	// Output:
	// the component sees: rpc: can't find method Pin (Connector.Pin)
	// FAIL: rpctest: unexpected call of Connector.Pin, which is not mocked: Connector has Free
	// 	from: this process
	// 	argument: cid
}

// Functions of the streaming form are mocked alike, and what they were sent is
// recorded.
func ExampleServer_Mock_streaming() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Store", rpctest.Methods{
			"Put": func(_ context.Context, blocks <-chan string, sizes chan<- int) error {
				for b := range blocks {
					sizes <- len(b)
				}
				return nil
			},
		})

		blocks, sizes := make(chan string, 2), make(chan int, 2)
		blocks <- "a block"
		blocks <- "another block"
		close(blocks)
		err := client.Stream(context.Background(), "", "Store", "Put", blocks, sizes)
		fmt.Println(<-sizes, <-sizes, err)
		fmt.Printf("%q\n", server.Calls()[0].Items)
	})
	// Output:
	// 7 13 <nil>
	// ["a block" "another block"]
}
