package rpc_test

import (
	"context"
	"fmt"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func ExampleServer_Shutdown() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// Calls under way may finish; after ten seconds they are cancelled.
	fmt.Println(server.Shutdown(ctx))
	// Output: <nil>
}
