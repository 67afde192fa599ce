package rpc_test

import (
	"context"
	"fmt"
	"sync"
	"time"

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

func ExampleWithMethodConfig() {
	server := rpc.NewServer(nil, "/greeter/1.0",
		rpc.WithMethodConfig(rpc.ServiceID{Name: "Greeter"}, rpc.MethodConfig{HeedsContext: true}))
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var greeting string
	err := client.CallContext(ctx, "", "Greeter", "Hello", "Ada", &greeting) // in this goroutine
	fmt.Println(greeting, err)
	// Output: hello Ada <nil>
}

// A peer is no longer welcome: what it has under way ends.
func ExampleServer_Drop() {
	a, b, done := twoHosts()
	defer done()
	var banned sync.Map
	server := rpc.NewServer(b, "/clock/1.0", rpc.WithAuthorizeFunc(
		func(caller peer.ID, svc, method string) bool {
			_, is := banned.Load(caller)
			return !is
		}))
	defer server.Close()
	ticks := rpc.NewServerStream[int, int]("Clock", "Ticks")
	_ = ticks.Handle(server, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
		for ; ; n++ {
			if err := out.Send(ctx, n); err != nil {
				return err
			}
		}
	})

	client := rpc.NewClient(a, "/clock/1.0")
	defer client.Close()
	for n, err := range ticks.Call(context.Background(), client, b.ID(), 1) {
		if n == 100 {
			banned.Store(a.ID(), true)
			server.Drop(a.ID())
		}
		if err != nil {
			fmt.Println(rpc.CodeOf(err))
		}
	}
	// Output: PermissionDenied
}

func ExampleServer_Shutdown() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// Calls under way may finish; after ten seconds they are cancelled.
	fmt.Println(server.Shutdown(ctx))
	// Output: <nil>
}
