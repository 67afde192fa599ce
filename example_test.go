package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// twoHosts returns two connected hosts, and what closes them.
func twoHosts() (a, b host.Host, closeBoth func()) {
	listen := libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")
	a, errA := libp2p.New(listen)
	b, errB := libp2p.New(listen)
	if err := errors.Join(errA, errB); err != nil {
		panic(err)
	}
	if err := a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		panic(err)
	}
	return a, b, func() {
		_ = a.Close()
		_ = b.Close()
	}
}

type Greeter struct{}

func (Greeter) Hello(ctx context.Context, name string, greeting *string) error {
	caller, err := rpc.GetRequestSender(ctx)
	if err != nil {
		return err
	}
	if name == "" {
		return &rpc.Error{Code: rpc.CodeInvalidArgument, Message: "a name is needed"}
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

func ExampleClient_MultiCall() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)

	dests := []peer.ID{"", ""} // the peers to call
	ctxs := make([]context.Context, len(dests))
	replies := make([]any, len(dests))
	greetings := make([]string, len(dests))
	for i := range dests {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ctxs[i], replies[i] = ctx, &greetings[i]
	}
	errs := client.MultiCall(ctxs, dests, "Greeter", "Hello", "all", replies)
	fmt.Println(greetings, errors.Join(errs...))
	// Output: [hello all hello all] <nil>
}

type Summer struct{}

// Sum replies with the sum so far after each number.
func (Summer) Sum(_ context.Context, numbers <-chan int, sums chan<- int) error {
	total := 0
	for n := range numbers {
		total += n
		sums <- total
	}
	return nil
}

func ExampleClient_Stream() {
	server := rpc.NewServer(nil, "/sum/1.0")
	if err := server.Register(Summer{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/sum/1.0", server)

	ctx, cancel := context.WithCancel(context.Background())
	numbers, sums := make(chan int), make(chan int)
	go func() {
		defer close(numbers)
		for i := range 3 {
			select {
			case numbers <- i + 1:
			case <-ctx.Done(): // the call is over: nobody takes any more
				return
			}
		}
	}()
	result := make(chan error, 1)
	go func() {
		defer cancel()
		result <- client.Stream(ctx, "", "Summer", "Sum", numbers, sums)
	}()
	for s := range sums { // closed when the call is over
		fmt.Println(s)
	}
	fmt.Println(<-result)
	// Output:
	// 1
	// 3
	// 6
	// <nil>
}

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

func ExampleServer_Shutdown() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// Calls under way may finish; after ten seconds they are cancelled.
	fmt.Println(server.Shutdown(ctx))
	// Output: <nil>
}
