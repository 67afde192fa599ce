package debug_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/debug"
)

func Example() {
	server := rpc.NewServer(nil, "/example/1.0") // in a program: a host
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/example/1.0", server)
	const operator peer.ID = "..." // in a program: peer.Decode("12D3Koo...")
	err := debug.Serve(server, client, debug.Rule{
		Allow:     func(p peer.ID) bool { return p == operator },
		ShowPeers: func(p peer.ID) bool { return p == operator },
	})
	if err != nil {
		panic(err)
	}
	http.Handle("/debug/rpc/", debug.Handler(server, client, debug.Page{})) // in a program: http.ListenAndServe("localhost:6060", nil)

	now, err := debug.Get(context.Background(), client, "") // in a program: from another peer
	fmt.Println(now.Server.UnderWay, now.Client.UnderWay, err)
	// Output: 0 0 <nil>
}

// Another peer's figures come as often as is asked for, and a program's own at once.
func ExampleWatch() {
	server := rpc.NewServer(nil, "/example/1.0") // in a program: a host
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/example/1.0", server)
	if err := debug.Serve(server, client, debug.Rule{}); err != nil { // nobody but this process
		panic(err)
	}
	for now, err := range debug.Watch(context.Background(), client, "", 100*time.Millisecond) {
		fmt.Println(now.Server.UnderWay, err)
		break
	}
	own := debug.Take(server, nil)
	fmt.Println(own.Server.Total.Calls, own.Client == nil, debug.ServiceName)
	// Output:
	// 0 <nil>
	// 0 true rpc.Debug
}
