package rpc_test

import (
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A program looks at itself: what is under way, and what has failed.
func ExampleServer_State() {
	server := rpc.NewServer(nil, "/example/1.0", rpc.WithLocalCallsCounted(true))
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/example/1.0", server)
	_ = client.Call("", "Clock", "Now", struct{}{}, new(int))

	now := server.State()
	fmt.Println(now.UnderWay, "under way,", now.Local.Calls, "local, failed:", now.Local.Failed)
	// Output: 0 under way, 1 local, failed: [{Unimplemented 1}]
}
