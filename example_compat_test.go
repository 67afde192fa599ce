package rpc_test

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A program that was written for v0.6 and allows by a map.
func ExampleAuthorizeWithMap() {
	allows := rpc.AuthorizeWithMap(map[peer.ID]map[string]bool{
		"a friend": {"Greeter.Hello": true},
	})
	server := rpc.NewServer(nil, "/greeter/1.0", rpc.WithAuthorizeFunc(allows))
	defer server.Close()
	fmt.Println(allows("a friend", "Greeter", "Hello"), allows("a friend", "Greeter", "Forget"), allows("a stranger", "Greeter", "Hello"))
	// Output: true false false
}

// The sender of a call under its key, as v0.6's programs find it, and by the function.
func ExampleContextKey() {
	server := rpc.NewServer(nil, "/node/1.0")
	defer server.Close()
	_ = server.RegisterFunc("Node", "Who", func(ctx context.Context, _ struct{}, same *bool) error {
		sender, err := rpc.GetRequestSender(ctx)
		*same = ctx.Value(rpc.ContextKeyRequestSender) == sender
		return err
	})
	client := rpc.NewClientWithServer(nil, "/node/1.0", server)
	defer client.Close()
	var same bool
	err := client.Call("", "Node", "Who", struct{}{}, &same)
	fmt.Println(same, err)
	// Output: true <nil>
}

// Several calls under way at once, as with net/rpc.
func ExampleClient_GoContext() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	defer server.Close()
	_ = server.Register(Greeter{})
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := []string{"Ada", "Alan"}
	done := make(chan *rpc.Call, len(names))
	greetings := make([]string, len(names))
	for i, name := range names {
		_ = client.GoContext(ctx, "", "Greeter", "Hello", name, &greetings[i], done)
	}
	for range names {
		call := <-done
		if call.Error != nil {
			fmt.Println(call.SvcID, call.Error)
		}
	}
	fmt.Println(greetings)
	// Output: [hello Ada hello Alan]
}

// Calls of several peers, each of which tells of its end on its own channel.
func ExampleClient_MultiGo() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/greeter/1.0")
	defer server.Close()
	_ = server.Register(Greeter{})
	client := rpc.NewClient(a, "/greeter/1.0")
	defer client.Close()

	var greeting string
	dests, replies := []peer.ID{b.ID()}, []any{&greeting}
	ends := []chan *rpc.Call{make(chan *rpc.Call, 1)}
	_ = client.MultiGo([]context.Context{context.Background()}, dests, "Greeter", "Hello", "Ada", replies, ends)
	call := <-ends[0]
	fmt.Println(greeting, call.Error)
	// Output: hello Ada <nil>
}

// One stream of arguments to several peers. One that is slow may be ten arguments
// behind, and is given up if it takes none for a minute.
func ExampleClient_MultiStream() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/sum/1.0", rpc.WithStreamBufferSize(10))
	defer server.Close()
	_ = server.Register(Summer{})
	client := rpc.NewClientWithServer(a, "/sum/1.0", nil,
		rpc.WithMultiStreamBufferSize(10), rpc.WithMultiStreamStallTimeout(time.Minute))
	defer client.Close()

	numbers, sums := make(chan int), make(chan int)
	go func() {
		defer close(numbers)
		for i := range 3 {
			numbers <- i + 1
		}
	}()
	result := make(chan []error, 1)
	go func() {
		result <- client.MultiStream(context.Background(), []peer.ID{b.ID()}, "Summer", "Sum", numbers, sums)
	}()
	for s := range sums { // closed when all calls are over
		fmt.Println(s)
	}
	fmt.Println(<-result)
	// Output:
	// 1
	// 3
	// 6
	// [<nil>]
}

// The predicates of v0.6 tell where an error came from.
func ExampleIsRPCError() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	defer server.Close()
	_ = server.Register(Greeter{})
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	defer client.Close()
	var greeting string
	for _, method := range []string{"Hello", "Goodbye"} {
		err := client.Call("", "Greeter", method, "", &greeting)
		fmt.Println(method, "RPC:", rpc.IsRPCError(err), "server:", rpc.IsServerError(err), "client:", rpc.IsClientError(err))
	}
	// Output:
	// Hello RPC: false server: false client: false
	// Goodbye RPC: true server: true client: false
}
