package rpc_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// One argument, many replies.
func ExampleServerStream() {
	a, b, done := twoHosts()
	defer done()
	list := rpc.NewServerStream[string, string]("Store", "List")

	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	err := list.Handle(server, func(ctx context.Context, prefix string, out *rpc.Sender[string]) error {
		for _, key := range []string{"a/1", "b/1", "a/2"} {
			if strings.HasPrefix(key, prefix) {
				if err := out.Send(ctx, key); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	for key, err := range list.Call(context.Background(), client, b.ID(), "a/") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(key)
	}
	// Output:
	// a/1
	// a/2
}

// Many arguments, one reply.
func ExampleClientStream() {
	a, b, done := twoHosts()
	defer done()
	put := rpc.NewClientStream[[]byte, int]("Store", "Put")

	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	err := put.Handle(server, func(ctx context.Context, in *rpc.Receiver[[]byte]) (size int, err error) {
		for chunk, err := range in.All(ctx) {
			if err != nil {
				return 0, err
			}
			size += len(chunk)
		}
		return size, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	call := put.Open(ctx, client, b.ID())
	defer call.Close()
	for _, chunk := range []string{"in ", "three ", "chunks"} {
		if err := call.Send(ctx, []byte(chunk)); err != nil {
			break // the call is over: Finish tells why
		}
	}
	size, err := call.Finish(ctx)
	fmt.Println(size, err)
	// Output: 15 <nil>
}

// Both at once.
func ExampleDuplex() {
	a, b, done := twoHosts()
	defer done()
	chat := rpc.NewDuplex[string, string]("Echo", "Chat")

	server := rpc.NewServer(b, "/echo/1.0")
	defer server.Close()
	err := chat.Handle(server, func(ctx context.Context, in *rpc.Receiver[string], out *rpc.Sender[string]) error {
		for line, err := range in.All(ctx) {
			if err == nil {
				err = out.Send(ctx, strings.ToUpper(line))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	client := rpc.NewClient(a, "/echo/1.0")
	defer client.Close()
	call := chat.Open(ctx, client, b.ID())
	defer call.Close()
	for _, line := range []string{"is anybody there?", "good"} {
		if err := call.Send(ctx, line); err != nil {
			break // Receive tells why
		}
		answer, err := call.Receive(ctx)
		fmt.Println(answer, err)
	}
	_ = call.CloseSend()
	_, err = call.Receive(ctx)
	fmt.Println(err)
	// Output:
	// IS ANYBODY THERE? <nil>
	// GOOD <nil>
	// EOF
}

// A method receives the first argument by itself and the others in a loop, as a client
// does with replies.
func ExampleReceiver_Receive() {
	server := rpc.NewServer(nil, "/echo/1.0")
	defer server.Close()
	label := rpc.NewDuplex[string, string]("Echo", "Label")
	_ = label.Handle(server, func(ctx context.Context, in *rpc.Receiver[string], out *rpc.Sender[string]) error {
		prefix, err := in.Receive(ctx) // io.EOF if there is none
		if err != nil {
			return err
		}
		for line, err := range in.All(ctx) {
			if err == nil {
				err = out.Send(ctx, prefix+line)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})

	client := rpc.NewClientWithServer(nil, "/echo/1.0", server)
	defer client.Close()
	ctx := context.Background()
	call := label.Open(ctx, client, "")
	defer call.Close()
	for _, line := range []string{"- ", "one", "two"} {
		_ = call.Send(ctx, line)
	}
	_ = call.CloseSend()
	for line, err := range call.All(ctx) {
		fmt.Println(line, err)
	}
	// Output:
	// - one <nil>
	// - two <nil>
}

// What comes after a watch has begun is not missed by it.
func ExampleDuplexCall_Begun() {
	a, b, done := twoHosts()
	defer done()
	watch := rpc.NewDuplex[string, int]("Store", "Watch")
	follow := rpc.NewClientStream[string, int]("Store", "Follow")

	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	changes := make(chan int, 1)
	err := watch.Handle(server, func(ctx context.Context, _ *rpc.Receiver[string], out *rpc.Sender[int]) error {
		if err := rpc.SetHeader(ctx, rpc.Metadata{"version": "7"}); err != nil {
			return err
		}
		return out.Send(ctx, <-changes)
	})
	if err == nil {
		err = follow.Handle(server, func(context.Context, *rpc.Receiver[string]) (int, error) { return <-changes, nil })
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	call := watch.Open(ctx, client, b.ID())
	defer call.Close()
	header, err := call.Begun(ctx)
	fmt.Println("it runs, from version", header["version"], err)
	changes <- 8
	fmt.Println(call.Receive(ctx))

	other := follow.Open(ctx, client, b.ID())
	defer other.Close()
	header, err = other.Begun(ctx)
	fmt.Println("so does the other", header, err)
	changes <- 9
	fmt.Println(other.Finish(ctx))
	// Output:
	// it runs, from version 7 <nil>
	// 8 <nil>
	// so does the other map[] <nil>
	// 9 <nil>
}

// In every form of a streaming call a function can be told.
func ExampleContextWithBegun() {
	a, b, done := twoHosts()
	defer done()
	feed := rpc.NewServerStream[string, int]("Store", "Feed")

	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	changes := make(chan int, 1)
	err := feed.Handle(server, func(ctx context.Context, _ string, out *rpc.Sender[int]) error {
		return out.Send(ctx, <-changes)
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	ctx := rpc.ContextWithBegun(context.Background(), func(dest peer.ID, header rpc.Metadata) {
		fmt.Println("it runs:", dest == b.ID(), header)
		changes <- 8
	})
	for change, err := range feed.Call(ctx, client, b.ID(), "a/") {
		fmt.Println(change, err)
	}
	// Output:
	// it runs: true map[]
	// 8 <nil>
}
