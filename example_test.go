package rpc_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

type Greeter struct{}

func (Greeter) Hello(ctx context.Context, name string, greeting *string) error {
	caller, err := rpc.GetRequestSender(ctx)
	if err != nil {
		return err
	}
	if name == "" {
		return &rpc.Error{Code: codes.InvalidArgument, Message: "a name is needed"}
	}
	*greeting = "hello " + name
	_ = caller // authenticated by libp2p
	return nil
}

func Example() {
	a, b, done := twoHosts()
	defer done()

	server := rpc.NewServer(b, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	client := rpc.NewClient(a, "/greeter/1.0")
	defer client.Close()
	var greeting string
	err := client.CallContext(context.Background(), b.ID(), "Greeter", "Hello", "Ada", &greeting)
	fmt.Println(greeting, err)
	// Output: hello Ada <nil>
}

// A client made with a server calls it directly when the destination is empty
// or the host itself. Without a host every call is local.
func ExampleNewClientWithServer() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	var greeting string
	err := client.Call("", "Greeter", "Hello", "Ada", &greeting)
	fmt.Println(greeting, err)
	// Output: hello Ada <nil>
}
