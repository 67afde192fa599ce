package rpctest_test

import (
	"context"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Tracker is a component to be tested. All that it knows of the others is an
// RPC client.
type Tracker struct {
	Client *rpc.Client
}

// Track has a thing pinned on this peer, if there is room.
func (t *Tracker) Track(ctx context.Context, cid string) (where string, err error) {
	var free int
	if err := t.Client.CallContext(ctx, "", "Connector", "Free", struct{}{}, &free); err != nil {
		return "", err
	}
	if free == 0 {
		return "", fmt.Errorf("no room for %s", cid)
	}
	// One that is cut off is made again, once.
	for range 2 {
		err = t.Client.CallContext(ctx, "", "Connector", "Pin", cid, &where)
		if rpc.CodeOf(err) != codes.Unavailable {
			break
		}
	}
	return where, err
}

// A component is tested alone: what it calls is replaced by the few functions
// that the test needs. (run runs a test as go test does, and prints why it
// failed.)
func Example() {
	run(func(t testing.TB) {
		client, server := rpctest.Local(t)
		server.Mock("Connector", rpctest.Methods{
			"Free": rpctest.Reply[struct{}](1 << 30),
			"Pin": func(_ context.Context, cid string, where *string) error {
				*where = "disk 1"
				return nil
			},
		})

		tracker := &Tracker{Client: client}
		fmt.Println(tracker.Track(context.Background(), "cid"))

		for _, call := range server.Calls() {
			fmt.Println(call)
		}
	})
	// Output:
	// disk 1 <nil>
	// Connector.Free({}) from this process: done
	// Connector.Pin(cid) from this process: done
}
