// First is the first call of the README.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Args struct{ A, B int }

// Multiply is one declaration for both ends: names, argument, reply.
var Multiply = rpc.NewMethod[Args, int]("Arith", "Multiply")

func main() {
	serverHost, err := libp2p.New()
	check(err)
	defer serverHost.Close()
	server := rpc.NewServer(serverHost, "/arith/1.0")
	check(Multiply.Handle(server, func(ctx context.Context, args Args) (int, error) {
		return args.A * args.B, nil
	}))

	clientHost, err := libp2p.New()
	check(err)
	defer clientHost.Close()
	// A peer ID is not an address: the hosts must know each other's addresses.
	ctx := context.Background()
	check(clientHost.Connect(ctx, peer.AddrInfo{ID: serverHost.ID(), Addrs: serverHost.Addrs()}))

	client := rpc.NewClient(clientHost, "/arith/1.0")
	product, err := Multiply.Call(ctx, client, serverHost.ID(), Args{6, 7})
	check(err)
	fmt.Println(product) // 42
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
