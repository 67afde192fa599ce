package storage

import (
	"context"
	"errors"
	"fmt"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// fetch gets blocks from the other peers, the likely ones first, and hands
// them to use.
func (c *Connector) fetch(ctx context.Context, likely []peer.ID, wanted []cid.Cid, use func(context.Context, blocks.Block) error) error {
	if len(wanted) == 0 {
		return nil
	}
	peers, err := c.sources(ctx, likely)
	if err != nil {
		return err
	}
	var errs []error
	var failed error // for a reason of our own
	checked := func(b api.Block) error {
		good, err := check(b)
		if err != nil {
			return err
		}
		failed = use(ctx, good)
		return failed
	}
	for _, p := range peers {
		wanted, err = c.fetchFrom(ctx, p, wanted, checked)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case failed != nil:
			return failed
		case err != nil:
			errs = append(errs, fmt.Errorf("from %v: %w", p, err))
		case len(wanted) == 0:
			return nil
		}
	}
	if len(errs) == 0 { // all say that they have not
		return rpc.Errorf(codes.NotFound, "no peer has %v", wanted[0])
	}
	return rpc.Errorf(codes.Unavailable, "%d blocks, %v the first, could be had of none of %d peers: %v",
		len(wanted), wanted[0], len(peers), errors.Join(errs...))
}

// sources returns the other peers, the likely ones first.
func (c *Connector) sources(ctx context.Context, likely []peer.ID) ([]peer.ID, error) {
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	seen := map[peer.ID]bool{c.client.ID(): true}
	var peers []peer.ID
	for _, p := range append(likely[:len(likely):len(likely)], members...) {
		if !seen[p] {
			seen[p] = true
			peers = append(peers, p)
		}
	}
	return peers, nil
}

// fetchFrom gets what one peer has, and returns the rest.
func (c *Connector) fetchFrom(ctx context.Context, p peer.ID, wanted []cid.Cid, use func(api.Block) error) ([]cid.Cid, error) {
	call := api.Storage.Blocks.Open(ctx, c.client, p)
	defer call.Close()
	go func() {
		defer call.CloseSend()
		for _, id := range wanted {
			if call.Send(ctx, id) != nil {
				return // Receive tells why
			}
		}
	}()
	var missing []cid.Cid
	for i, id := range wanted { // answers come in the order of what was asked
		b, err := call.Receive(ctx)
		if err != nil {
			return append(missing, wanted[i:]...), err
		}
		if b.Missing {
			missing = append(missing, id)
			continue
		}
		b.Cid = id
		if err := use(b); err != nil {
			return append(missing, wanted[i:]...), err
		}
	}
	return missing, nil
}

// Blocks answers for each block asked for, in order.
func (c *Connector) Blocks(ctx context.Context, wanted *rpc.Receiver[cid.Cid], found *rpc.Sender[api.Block]) error {
	for id, err := range wanted.All(ctx) {
		if err != nil {
			return err
		}
		answer := api.Block{Cid: id}
		switch b, err := c.blocks.Get(ctx, id); {
		case ipld.IsNotFound(err):
			answer.Missing = true
		case err != nil:
			return err
		default:
			answer.Data = b.RawData()
		}
		if err := found.Send(ctx, answer); err != nil {
			return err
		}
	}
	return nil
}
