package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

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
