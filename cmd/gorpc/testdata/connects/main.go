// Command connects connects to a peer and opens a stream: the least that a program does
// which calls it.
package main

import (
	"context"
	"log"
	"os"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

func main() {
	if err := run(context.Background(), os.Args[1], protocol.ID(os.Args[2])); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, p protocol.ID) error {
	to, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Connect(ctx, *to); err != nil {
		return err
	}
	st, err := h.NewStream(ctx, to.ID, p)
	if err != nil {
		return err
	}
	return st.Close()
}
