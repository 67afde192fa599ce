package main

import (
	_ "github.com/hashicorp/raft"
	_ "github.com/hashicorp/raft-boltdb/v2"
	_ "github.com/ipfs/boxo/blockstore"
	_ "github.com/ipfs/boxo/chunker"
	_ "github.com/ipfs/boxo/ipld/merkledag"
	_ "github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	_ "github.com/ipfs/boxo/ipld/unixfs/io"
	_ "github.com/ipfs/go-ds-pebble"
	_ "github.com/libp2p/go-libp2p-gorpc"
	_ "github.com/libp2p/go-libp2p-pubsub"
	_ "github.com/libp2p/go-libp2p/p2p/net/gostream"
	_ "go.uber.org/goleak"
)

func main() {}
