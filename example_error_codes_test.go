package rpc_test

import (
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func ExampleError() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	var greeting string
	err := client.Call("", "Greeter", "Hello", "", &greeting)
	fmt.Println(rpc.CodeOf(err), err)
	err = client.Call("", "Greeter", "Goodbye", "Ada", &greeting)
	fmt.Println(rpc.CodeOf(err), err)
	err = client.Call("", "Greeter", "Hello", 7, &greeting)
	fmt.Println(rpc.CodeOf(err), err)
	// Output:
	// InvalidArgument a name is needed
	// Unimplemented rpc: can't find method Goodbye (Greeter.Goodbye)
	// InvalidArgument rpc: Greeter.Hello: the method takes string, not int; pass a value of that type
}
