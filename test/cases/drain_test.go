package cases_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type failing struct{}

func (failing) Stream(context.Context, <-chan int, chan<- int) error { return errors.New("no") }

// What a v0.6 program may rely on: when a stream has failed, whoever still sends
// arguments is not left standing; they are received, and dropped, until the
// channel is closed.
func TestDrainsArguments(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p")
	_ = server.RegisterName("S", failing{})
	there, nowhere := hosts[0].ID(), test.RandPeerIDFatal(t)
	for name, c := range map[string]struct {
		client *rpc.Client
		dest   peer.ID
		method string
	}{
		"local":       {rpc.NewClientWithServer(hosts[0], "/p", server), there, "Stream"},
		"remote":      {rpc.NewClient(hosts[1], "/p"), there, "Stream"},
		"no method":   {rpc.NewClient(hosts[1], "/p"), there, "Nothing"},
		"unreachable": {rpc.NewClient(hosts[1], "/p"), nowhere, "Stream"},
	} {
		for _, multi := range []bool{false, true} {
			if multi {
				name += ", MultiStream"
			}
			t.Run(name, func(t *testing.T) {
				args, replies := make(chan int), make(chan int)
				go func() {
					for range replies {
					}
				}()
				if multi {
					go c.client.MultiStream(t.Context(), []peer.ID{c.dest}, "S", c.method, args, replies)
				} else {
					go c.client.Stream(t.Context(), c.dest, "S", c.method, args, replies)
				}
				defer close(args)
				for i := range 50_000 {
					select {
					case args <- i:
					case <-time.After(20 * time.Second):
						t.Fatalf("argument %d is not taken", i)
					}
				}
			})
		}
	}
}
