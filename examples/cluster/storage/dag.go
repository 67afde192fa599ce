package storage

import (
	"context"

	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// decode makes a node of a block.
func decode(b blocks.Block) (ipld.Node, error) {
	switch codec := b.Cid().Type(); codec {
	case cid.Raw:
		return merkledag.DecodeRawBlock(b)
	case cid.DagProtobuf:
		return merkledag.DecodeProtobufBlock(b)
	default:
		return nil, rpc.Errorf(codes.InvalidArgument, "block %v: codec %#x is not supported", b.Cid(), codec)
	}
}

// children returns what the block links to. The block must be here, unless it
// can have no links.
func (c *Connector) children(ctx context.Context, id cid.Cid) ([]cid.Cid, error) {
	if id.Type() == cid.Raw {
		return nil, nil
	}
	b, err := c.blocks.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	node, err := decode(b)
	if err != nil {
		return nil, err
	}
	links := make([]cid.Cid, 0, len(node.Links()))
	for _, l := range node.Links() {
		links = append(links, l.Cid)
	}
	return links, nil
}

// complete fetches what is missing of the DAG, one level after the other.
func (c *Connector) complete(ctx context.Context, pin api.Pin) error {
	seen := cid.NewSet()
	for level := []cid.Cid{pin.Cid}; len(level) > 0; {
		var missing []cid.Cid
		for _, id := range level {
			switch here, err := c.has(ctx, id); {
			case err != nil:
				return err
			case !here:
				missing = append(missing, id)
			}
		}
		if err := c.fetch(ctx, pin.Allocations, missing, c.store); err != nil {
			return err
		}
		var next []cid.Cid
		for _, id := range level {
			children, err := c.children(ctx, id)
			if err != nil {
				return err
			}
			for _, child := range children {
				if seen.Visit(child) {
					next = append(next, child)
				}
			}
		}
		level = next
	}
	return nil
}
