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
