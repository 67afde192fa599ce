package rpc_test

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func ExampleWithAuthorizeFunc() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/greeter/1.0", rpc.WithAuthorizeFunc(
		func(caller peer.ID, svc, method string) bool { return caller == "a friend" }))
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	var greeting string
	err := rpc.NewClient(a, "/greeter/1.0").Call(b.ID(), "Greeter", "Hello", "Ada", &greeting)
	fmt.Println(rpc.IsAuthorizationError(err), rpc.CodeOf(err))
	// Output: true PermissionDenied
}
