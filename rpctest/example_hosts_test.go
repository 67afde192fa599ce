package rpctest_test

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

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

// LoopbackHosts are for what in-memory hosts cannot show: here, a component whose peer
// connects late.
func ExampleLoopbackHosts() {
	run(func(t testing.TB) {
		hosts := rpctest.LoopbackHosts(t, 2)
		server := rpctest.NewServer(t, hosts[1], "/cluster/1.0")
		server.Mock("Cluster", rpctest.Methods{"Name": rpctest.Reply[struct{}]("peer 1")})
		_ = hosts[0].Network().ClosePeer(server.ID())

		rpctest.Connect(t, hosts...)
		client := rpc.NewClient(hosts[0], "/cluster/1.0")
		defer client.Close()
		var name string
		err := client.Call(server.ID(), "Cluster", "Name", struct{}{}, &name)
		fmt.Println(name, err)
	})
	// Output: peer 1 <nil>
}
