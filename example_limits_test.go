package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A small device takes small messages and few calls. Its peers are told which limit
// they have met, and whose.
func ExampleLimits() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0", rpc.WithServerLimits(rpc.Limits{MessageSize: 4 << 10, CallsPerPeer: 8}))
	defer server.Close()
	_ = fetch.Handle(server, func(_ context.Context, key string) (string, error) { return key, nil })

	client := rpc.NewClient(a, "/store/1.0", rpc.WithClientLimits(rpc.Limits{MessageSize: 1 << 20}))
	defer client.Close()
	for _, size := range []int{10, 1 << 13, 1 << 21} {
		_, err := fetch.Call(context.Background(), client, b.ID(), strings.Repeat("k", size))
		var over *rpc.LimitError
		var e *rpc.Error
		if errors.As(err, &over) && errors.As(err, &e) {
			fmt.Println(e.Code, over.Limit, "of the server:", e.Type() == rpc.ServerErr)
		}
	}
	// Output:
	// ResourceExhausted Limits.MessageSize of the server: true
	// ResourceExhausted Limits.MessageSize of the server: false
}

// libp2p's own limits for the library's streams: 256 at once, 64 MiB.
func ExampleServiceName() {
	limits := rcmgr.PartialLimitConfig{Service: map[string]rcmgr.ResourceLimits{
		rpc.ServiceName: {Streams: 256, StreamsInbound: 256, StreamsOutbound: 256, Memory: 64 << 20},
	}}.Build(rcmgr.DefaultLimits.AutoScale())
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close() // libp2p.New(libp2p.ResourceManager(manager)) closes it with the host
	fmt.Println(rpc.ServiceName)
	// Output: libp2p.gorpc
}

// A program that would rather lose a call than have more connections than its connection
// manager allows.
func ExampleWithConnProtection() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = fetch.Handle(server, func(_ context.Context, key string) (string, error) { return "blue", nil })
	client := rpc.NewClient(a, "/store/1.0", rpc.WithConnProtection(false))
	defer client.Close()
	fmt.Println(fetch.Call(context.Background(), client, b.ID(), "colour"))
	// Output: blue <nil>
}

// A server takes one call at a time of each peer. The next one waits for its place, and a
// program can see that it does.
func ExampleClient_State() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0", rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1}))
	defer server.Close()
	begun, end := make(chan struct{}, 3), make(chan struct{}, 3)
	_ = fetch.Handle(server, func(_ context.Context, key string) (string, error) {
		begun <- struct{}{}
		<-end
		return key, nil
	})
	client := rpc.NewClient(a, "/store/1.0", rpc.WithClientLimits(rpc.Limits{QueueTimeout: time.Minute}))
	defer client.Close()
	call := func() { _, _ = fetch.Call(context.Background(), client, b.ID(), "colour") }
	end <- struct{}{}
	call() // now the client knows how many calls the server takes
	var both sync.WaitGroup
	both.Go(call)
	both.Go(call)
	waiting := func() (n int) {
		for _, link := range client.State().Links {
			n += link.Waiting
		}
		return n
	}
	for range time.Tick(time.Millisecond) { // as a program looks now and then
		if waiting() > 0 {
			break
		}
	}
	fmt.Println(waiting(), "call waits")
	end <- struct{}{}
	end <- struct{}{}
	both.Wait()
	fmt.Println(waiting(), "calls wait")
	// Output:
	// 1 call waits
	// 0 calls wait
}

// Sessions can be turned off on either side: each call then has a stream of its own,
// as with v0.6.
func ExampleWithServerSessions() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0", rpc.WithServerSessions(false))
	defer server.Close()
	_ = fetch.Handle(server, func(_ context.Context, key string) (string, error) { return "blue", nil })
	client := rpc.NewClient(a, "/store/1.0", rpc.WithClientSessions(false))
	defer client.Close()
	fmt.Println(fetch.Call(context.Background(), client, b.ID(), "colour"))
	// Output: blue <nil>
}
