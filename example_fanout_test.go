package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var height = rpc.NewMethod[string, int]("Chain", "Height")

// heights serves height on two hosts, and returns a client of both and their
// names.
func heights() (client *rpc.Client, peers []peer.ID, names map[peer.ID]string, done func()) {
	a, b, closeBoth := twoHosts()
	near, far := rpc.NewServer(a, "/chain/1.0"), rpc.NewServer(b, "/chain/1.0")
	err := errors.Join(
		height.Handle(near, func(context.Context, string) (int, error) { return 7, nil }),
		height.Handle(far, func(_ context.Context, chain string) (int, error) {
			if chain != "main" {
				return 0, errors.New("no such chain")
			}
			return 8, nil
		}))
	if err != nil {
		panic(err)
	}
	client = rpc.NewClientWithServer(a, "/chain/1.0", near)
	return client, []peer.ID{a.ID(), b.ID()}, map[peer.ID]string{a.ID(): "near", b.ID(): "far"}, func() {
		_ = client.Close()
		_, _ = near.Close(), far.Close()
		closeBoth()
	}
}

// Results come as they arrive, each with its peer.
func ExampleMethod_CallAll() {
	client, peers, names, done := heights()
	defer done()

	for p, result := range height.CallAll(context.Background(), client, peers, "main", rpc.CallTimeout(10*time.Second)) {
		fmt.Println(names[p], result.Value, result.Err)
	}
	// Unordered output:
	// near 7 <nil>
	// far 8 <nil>
}

// CollectAll waits for enough of the peers, here for a majority.
func ExampleMethod_CollectAll() {
	client, peers, names, done := heights()
	defer done()

	majority := rpc.FanQuorum(len(peers)/2 + 1)
	got, err := height.CollectAll(context.Background(), client, peers, "main", majority)
	fmt.Println(len(got.Values), "replies,", err)

	got, err = height.CollectAll(context.Background(), client, peers, "test", majority)
	fmt.Println(err != nil)
	for p, err := range got.Errors {
		fmt.Println(names[p], err)
	}
	// Output:
	// 2 replies, <nil>
	// true
	// far no such chain
}
