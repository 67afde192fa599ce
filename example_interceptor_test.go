package rpc_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func ExampleWithServerInterceptors() {
	logging := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			err := next(ctx, call)
			fmt.Println(call.ID(), call.Kind, call.Args, err)
			return err
		}
	}
	server := rpc.NewServer(nil, "/greeter/1.0", rpc.WithServerInterceptors(logging))
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	var greeting string
	_ = client.Call("", "Greeter", "Hello", "Ada", &greeting)
	// Output: Greeter.Hello unary Ada <nil>
}
