package cases_test

import (
	"context"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// A method's context ends with the call, on its own peer as on another.
func TestContextEndsWithTheCall(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "remote": true} {
		t.Run(name, func(t *testing.T) {
			hosts := rpctest.MemoryHosts(t, 2)
			server := rpc.NewServer(hosts[0], "/p")
			ended := make(chan struct{})
			method := rpc.NewMethod[int, int]("S", "M")
			if err := method.Handle(server, func(ctx context.Context, i int) (int, error) {
				context.AfterFunc(ctx, func() { close(ended) })
				return i, nil
			}); err != nil {
				t.Fatal(err)
			}
			client := rpc.NewClientWithServer(hosts[0], "/p", server)
			if remote {
				client = rpc.NewClient(hosts[1], "/p")
			}
			if _, err := method.Call(context.Background(), client, hosts[0].ID(), 1); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Error("the call has returned, and the method's context goes on")
			}
		})
	}
}
