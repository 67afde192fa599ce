package storage

import (
	"context"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// has reports whether the block is here. If so it stays for a while.
func (c *Connector) has(ctx context.Context, id cid.Cid) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ok, err := c.blocks.Has(ctx, id)
	if ok {
		c.touch(id)
	}
	return ok, err
}

// store keeps a block, for a while at least.
func (c *Connector) store(ctx context.Context, b blocks.Block) error {
	_, err := c.put(ctx, b)
	return err
}

// put is store, and returns when the block was last needed: now, for giveUp.
func (c *Connector) put(ctx context.Context, b blocks.Block) (at time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at = c.touch(b.Cid())
	return at, c.keep(ctx, b)
}

// keep stores a block that is not there. The connector is locked.
func (c *Connector) keep(ctx context.Context, b blocks.Block) error {
	if ok, err := c.blocks.Has(ctx, b.Cid()); ok || err != nil {
		return err
	}
	size := uint64(len(b.RawData()))
	if c.used+size > c.capacity {
		if err := c.sweep(ctx); err != nil {
			return err
		}
	}
	if c.used+size > c.capacity {
		return rpc.Errorf(codes.ResourceExhausted, "no room for %d bytes: %d of %d are in use", size, c.used, c.capacity)
	}
	if err := c.blocks.Put(ctx, b); err != nil {
		return err
	}
	c.used += size
	return nil
}

// check finds out whether the data is what the CID says: peers err, and lie.
func check(b api.Block) (blocks.Block, error) {
	if !b.Cid.Defined() {
		return nil, rpc.Errorf(codes.InvalidArgument, "a block without a CID")
	}
	sum, err := b.Cid.Prefix().Sum(b.Data)
	if err != nil {
		return nil, err
	}
	if !sum.Equals(b.Cid) {
		return nil, rpc.Errorf(codes.DataLoss, "the data of block %v is that of %v", b.Cid, sum)
	}
	return blocks.NewBlockWithCid(b.Data, b.Cid)
}

// touch has a block stay for a while, and returns from when on. The connector is locked.
func (c *Connector) touch(id cid.Cid) time.Time {
	now := time.Now()
	c.touched[string(id.Hash())] = now
	if len(c.touched) > c.many {
		c.forget()
		c.many = 2*len(c.touched) + 1000
	}
	return now
}

// giveUp deletes the blocks that were stored for what has failed, unless a pin needs them,
// or somebody has touched them since.
func (c *Connector) giveUp(own map[string]time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	given := false
	for hash, at := range own {
		if c.touched[hash].Equal(at) {
			delete(c.touched, hash)
			given = true
		}
	}
	if !given {
		return nil
	}
	return c.sweep(context.Background())
}

// forget forgets the blocks that nobody has touched for the time of grace.
func (c *Connector) forget() {
	for hash, at := range c.touched {
		if time.Since(at) >= c.grace {
			delete(c.touched, hash)
		}
	}
}

// sweep deletes the blocks that no pin needs, and nobody has touched for the
// time of grace. The connector is locked.
func (c *Connector) sweep(ctx context.Context) error {
	needed, err := c.needed(ctx)
	if err != nil {
		return err // and nothing is deleted that may be needed
	}
	c.forget()
	for hash := range c.touched {
		needed[hash] = true
	}
	keys, err := c.blocks.AllKeysChan(ctx)
	if err != nil {
		return err
	}
	var garbage []cid.Cid
	for k := range keys {
		if !needed[string(k.Hash())] {
			garbage = append(garbage, k)
		}
	}
	for _, k := range garbage {
		size, err := c.blocks.GetSize(ctx, k)
		if err != nil {
			return err
		}
		if err := c.blocks.DeleteBlock(ctx, k); err != nil {
			return err
		}
		c.used -= uint64(size)
	}
	return nil
}

// needed returns the hashes of the blocks of all pins, and of the DAGs that
// are being fetched, as far as they are here.
func (c *Connector) needed(ctx context.Context) (map[string]bool, error) {
	hashes := make(map[string]bool)
	var walk func(id cid.Cid, partial bool) error
	walk = func(id cid.Cid, partial bool) error {
		if hashes[string(id.Hash())] {
			return nil
		}
		hashes[string(id.Hash())] = true
		children, err := c.children(ctx, id)
		if partial && ipld.IsNotFound(err) {
			return nil
		}
		for _, child := range children {
			if err := walk(child, partial); err != nil {
				return err
			}
		}
		return err
	}
	for root := range c.pinned {
		if err := walk(root, false); err != nil {
			return nil, err
		}
	}
	for root := range c.pinning {
		if err := walk(root, true); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
