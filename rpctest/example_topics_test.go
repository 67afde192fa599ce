package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
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

// Fail is for what goes wrong for a while.
func ExampleMethod_Fail() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{
			"Free": rpctest.Reply[struct{}](1),
			"Pin":  rpctest.Reply[string]("disk 1"),
		})
		pin := server.Method("Connector", "Pin")
		pin.Fail(1, &rpc.Error{Code: rpc.CodeUnavailable, Message: "cut off"})

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

// Pair is for what is different between peers: here, that they must be allowed
// to call.
func ExamplePair() {
	run(func(t testing.TB) {
		client, server := rpctest.Pair(t, rpc.WithAuthorizeFunc(
			func(_ peer.ID, _, method string) bool { return method != "Unpin" }))
		server.Mock("Connector", rpctest.Methods{
			"Pin":   rpctest.Reply[string]("disk 1"),
			"Unpin": rpctest.Reply[string]("disk 1"),
		})

		var where string
		err := client.Call(server.ID(), "Connector", "Pin", "cid", &where)
		fmt.Println(where, err)
		fmt.Println(server.Calls()[0].Peer == client.ID())
		err = client.Call(server.ID(), "Connector", "Unpin", "cid", &where)
		fmt.Println(rpc.IsAuthorizationError(err))
	})
	// Output:
	// disk 1 <nil>
	// true
	// true
}

// MemoryHosts are for components that call other peers: here, all of them.
func ExampleMemoryHosts() {
	run(func(t testing.TB) {
		hosts := rpctest.MemoryHosts(t, 3)
		var peers []peer.ID
		for i, h := range hosts {
			peers = append(peers, h.ID())
			if i == 0 {
				continue // the component's own
			}
			server := rpctest.NewServer(t, h, "/cluster/1.0")
			server.Mock("Cluster", rpctest.Methods{"Name": rpctest.Reply[struct{}](fmt.Sprint("peer ", i))})
		}
		own := rpctest.NewServer(t, hosts[0], "/cluster/1.0")
		own.Mock("Cluster", rpctest.Methods{"Name": rpctest.Reply[struct{}]("this one")})
		client := own.Client() // of its own peer it asks its own server, locally

		for _, p := range peers {
			var name string
			err := client.Call(p, "Cluster", "Name", struct{}{}, &name)
			fmt.Println(name, err)
		}
	})
	// Output:
	// this one <nil>
	// peer 1 <nil>
	// peer 2 <nil>
}

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
