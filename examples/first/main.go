// First is the first call of the README.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/libp2p/go-libp2p"
	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"
)

type Args struct{ A, B int }

type Arith struct{}

func (Arith) Multiply(ctx context.Context, args Args, product *int) error {
	*product = args.A * args.B
	return nil
}

func main() {
	serverHost, err := libp2p.New()
	check(err)
	server := rpc.NewServer(serverHost, "/arith/1.0")
	check(server.Register(Arith{}))

	clientHost, err := libp2p.New()
	check(err)
	// A peer ID is not an address: the hosts must know each other's.
	ctx := context.Background()
	check(clientHost.Connect(ctx, peer.AddrInfo{ID: serverHost.ID(), Addrs: serverHost.Addrs()}))

	client := rpc.NewClient(clientHost, "/arith/1.0")
	var product int
	check(client.CallContext(ctx, serverHost.ID(), "Arith", "Multiply", Args{6, 7}, &product))
	fmt.Println(product)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
