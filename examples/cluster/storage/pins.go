package storage

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Pin returns when all blocks of the DAG are here, and stay. What it lacks it
// fetches from the peers that keep the pin, and then from the others.
func (c *Connector) Pin(ctx context.Context, pin api.Pin) (api.Nothing, error) {
	if !c.begin(pin.Cid) {
		return api.Nothing{}, nil
	}
	defer c.end(pin.Cid)
	if err := c.complete(ctx, pin); err != nil {
		return api.Nothing{}, err
	}
	return api.Nothing{}, c.record(ctx, pin.Cid)
}

// begin reports whether there is anything to do. From then on, no block of the
// DAG is deleted.
func (c *Connector) begin(root cid.Cid) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinned[root] {
		return false
	}
	c.pinning[root]++
	return true
}

func (c *Connector) end(root cid.Cid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinning[root]--; c.pinning[root] == 0 {
		delete(c.pinning, root)
	}
}

// record notes that the DAG is complete. A caller who has given the pin up
// has perhaps given up the DAG already: that is not undone here.
func (c *Connector) record(ctx context.Context, root cid.Cid) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.pins.Put(context.WithoutCancel(ctx), pinKey(root), root.Bytes()); err != nil {
		return err
	}
	c.pinned[root] = true
	return nil
}

// Unpin gives up the blocks that only this pin needs. It is no error if there
// is no such pin.
func (c *Connector) Unpin(ctx context.Context, root cid.Cid) (api.Nothing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pinned[root] {
		return api.Nothing{}, nil
	}
	ctx = context.WithoutCancel(ctx) // once begun, it is done
	if err := c.pins.Delete(ctx, pinKey(root)); err != nil {
		return api.Nothing{}, err
	}
	delete(c.pinned, root)
	return api.Nothing{}, c.sweep(ctx)
}

// Pinned returns the roots of the DAGs that are here whole, and stay.
func (c *Connector) Pinned(context.Context, api.Nothing) ([]cid.Cid, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	roots := make([]cid.Cid, 0, len(c.pinned))
	for root := range c.pinned {
		roots = append(roots, root)
	}
	return roots, nil
}

func pinKey(root cid.Cid) datastore.Key { return datastore.NewKey(root.String()) }

func (c *Connector) loadPins() error {
	results, err := c.pins.Query(context.Background(), query.Query{})
	if err != nil {
		return err
	}
	defer results.Close()
	for r := range results.Next() {
		if r.Error != nil {
			return r.Error
		}
		root, err := cid.Cast(r.Value)
		if err != nil {
			return err
		}
		c.pinned[root] = true
	}
	return nil
}
