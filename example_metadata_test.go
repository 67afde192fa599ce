package rpc_test

import (
	"context"
	"fmt"
	"strconv"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var (
	fetch = rpc.NewMethod[string, string]("Store", "Fetch")
	watch = rpc.NewDuplex[string, string]("Store", "Watch")
)

// A method sends metadata back before its reply, and with its end, and the caller
// sends some along.
func ExampleCallReplyMetadata() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = fetch.Handle(server, func(ctx context.Context, key string) (string, error) {
		if err := rpc.SetHeader(ctx, rpc.Metadata{"version": "7"}); err != nil {
			return "", err
		}
		err := rpc.SetTrailer(ctx, rpc.Metadata{"cost": "3"})
		return rpc.MetadataFromContext(ctx)["tenant"] + "/" + key, err
	})

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	ctx := rpc.AppendMetadata(context.Background(), "tenant", "green")
	var header, trailer rpc.Metadata
	value, err := fetch.Call(ctx, client, b.ID(), "colour", rpc.CallReplyMetadata(&header, &trailer))
	fmt.Println(value, err, header, trailer)
	// Output: green/colour <nil> map[version:7] map[cost:3]
}

// The header of a stream is there before its first reply.
func ExampleSetHeader() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = watch.Handle(server, func(ctx context.Context, in *rpc.Receiver[string], out *rpc.Sender[string]) error {
		if err := rpc.SetHeader(ctx, rpc.Metadata{"revision": "42"}); err != nil {
			return err
		}
		n := 0
		for range in.All(ctx) {
			n++
		}
		return rpc.SetTrailer(ctx, rpc.Metadata{"received": strconv.Itoa(n)})
	})

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	ctx := context.Background()
	call := watch.Open(ctx, client, b.ID())
	defer call.Close()
	header, err := call.Header(ctx) // the method runs
	fmt.Println(header, err)

	_ = call.Send(ctx, "a/")
	_ = call.CloseSend()
	_, err = call.Receive(ctx)
	fmt.Println(err, call.Trailer())
	// Output:
	// map[revision:42] <nil>
	// EOF map[received:1]
}

// Metadata goes one step: a method that calls on passes on what it chooses.
func ExampleContextWithMetadata() {
	server := rpc.NewServer(nil, "/store/1.0")
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()
	_ = fetch.Handle(server, func(ctx context.Context, key string) (string, error) {
		return key + " for " + rpc.MetadataFromContext(ctx)["tenant"], nil
	})
	front := rpc.NewMethod[string, string]("Front", "Fetch")
	_ = front.Handle(server, func(ctx context.Context, key string) (string, error) {
		return fetch.Call(rpc.ContextWithMetadata(ctx, rpc.MetadataFromContext(ctx)), client, "", key)
	})
	ctx := rpc.AppendMetadata(context.Background(), "tenant", "green")
	fmt.Println(front.Call(ctx, client, "", "colour"))
	// Output: colour for green <nil>
}

// An interceptor of a client reads what the methods of all calls send back.
func ExampleCallInfo_Header() {
	server := rpc.NewServer(nil, "/store/1.0")
	defer server.Close()
	_ = fetch.Handle(server, func(ctx context.Context, key string) (string, error) {
		if err := rpc.SetHeader(ctx, rpc.Metadata{"version": "7"}); err != nil {
			return "", err
		}
		return "blue", rpc.SetTrailer(ctx, rpc.Metadata{"cost": "3"})
	})
	client := rpc.NewClientWithServer(nil, "/store/1.0", server, rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			err := next(ctx, call)
			fmt.Println(call.ID(), "of version", call.Header()["version"], "has cost", call.Trailer()["cost"])
			return err
		}
	}))
	defer client.Close()
	_, _ = fetch.Call(context.Background(), client, "", "colour")
	// Output: Store.Fetch of version 7 has cost 3
}

// A method says before it receives how much is left of an upload that was broken off.
func ExampleClientStreamCall_Header() {
	server := rpc.NewServer(nil, "/store/1.0")
	defer server.Close()
	upload := rpc.NewClientStream[[]byte, int]("Store", "Upload")
	_ = upload.Handle(server, func(ctx context.Context, in *rpc.Receiver[[]byte]) (size int, err error) {
		if err := rpc.SetHeader(ctx, rpc.Metadata{"has": "4"}); err != nil {
			return 0, err
		}
		for part, err := range in.All(ctx) {
			if err != nil {
				return 0, err
			}
			size += len(part)
		}
		return 4 + size, rpc.SetTrailer(ctx, rpc.Metadata{"parts": "1"})
	})

	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()
	ctx, file := context.Background(), []byte("the whole file")
	call := upload.Open(ctx, client, "")
	defer call.Close()
	header, err := call.Header(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	has, _ := strconv.Atoi(header["has"])
	_ = call.Send(ctx, file[has:])
	size, err := call.Finish(ctx)
	fmt.Println(size == len(file), err, call.Trailer())
	// Output: true <nil> map[parts:1]
}
