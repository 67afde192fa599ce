package rpc_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A package that both ends import declares the methods.
var hello = rpc.NewMethod[string, string]("Greeter", "Hello")

func ExampleMethod() {
	a, b, done := twoHosts()
	defer done()

	server := rpc.NewServer(b, "/greeter/1.0")
	defer server.Close()
	err := hello.Handle(server, func(ctx context.Context, name string) (string, error) {
		return "hello " + name, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	client := rpc.NewClient(a, "/greeter/1.0")
	defer client.Close()
	greeting, err := hello.Call(context.Background(), client, b.ID(), "Ada")
	fmt.Println(greeting, err)
	// Output: hello Ada <nil>
}

// A typed method calls what a receiver serves, and what it serves is called by
// its names.
func ExampleMethod_Call_receiver() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	greeting, err := hello.Call(context.Background(), client, "", "Ada")
	fmt.Println(greeting, err)
	_, err = hello.Call(context.Background(), client, "", "")
	fmt.Println(rpc.CodeOf(err), err)
	// Output:
	// hello Ada <nil>
	// InvalidArgument a name is needed
}
