// Package storage keeps blocks: it is the connector between the cluster and a
// blockstore. It fetches the blocks that it lacks from the other peers.
package storage

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dssync "github.com/ipfs/go-datastore/sync"
	pebbleds "github.com/ipfs/go-ds-pebble"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Config says where and how much is stored.
type Config struct {
	// Dir is a directory for the blocks, which must exist; empty keeps them in
	// memory.
	Dir string
	// Capacity is how many bytes of blocks are taken. Default 1 GiB.
	Capacity uint64
	// Grace is how long a block stays that no pin needs: it may belong to
	// an upload that is under way. Default 10 minutes; negative is none.
	Grace time.Duration
}

// Connector serves api.Storage.
type Connector struct {
	client   *rpc.Client
	data     datastore.Batching
	pins     datastore.Datastore
	blocks   blockstore.Blockstore
	capacity uint64
	grace    time.Duration

	mu      sync.Mutex // held while a block is stored, and while some are deleted
	used    uint64     // bytes of blocks
	pinned  map[cid.Cid]bool
	pinning map[cid.Cid]int      // roots whose blocks are being fetched
	touched map[string]time.Time // blocks that may be needed soon, by their hash
	many    int                  // with how many touched blocks it is time to forget some
}

// New opens the store. The client is its way to the other components.
func New(client *rpc.Client, cfg Config) (*Connector, error) {
	data, err := open(cfg.Dir)
	if err != nil {
		return nil, err
	}
	c := &Connector{
		client: client, data: data,
		pins:     namespace.Wrap(data, datastore.NewKey("/pins")),
		blocks:   blockstore.NewBlockstore(data),
		capacity: cfg.Capacity, grace: cfg.Grace,
		pinned: make(map[cid.Cid]bool), pinning: make(map[cid.Cid]int), touched: make(map[string]time.Time),
	}
	if c.capacity == 0 {
		c.capacity = 1 << 30
	}
	if c.grace == 0 {
		c.grace = 10 * time.Minute
	}
	if err := errors.Join(c.loadPins(), c.measure()); err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return c, nil
}

func open(dir string) (datastore.Batching, error) {
	if dir == "" {
		return dssync.MutexWrap(datastore.NewMapDatastore()), nil
	}
	// What is acknowledged must survive more than the process.
	return pebbleds.NewDatastore(filepath.Join(dir, "blocks"), pebbleds.WithPebbleWriteOptions(pebble.Sync))
}

// Register makes the methods callable.
func (c *Connector) Register(s *rpc.Server) error {
	return errors.Join(
		api.Storage.Pin.Handle(s, c.Pin),
		api.Storage.Unpin.Handle(s, c.Unpin),
		api.Storage.Pinned.Handle(s, c.Pinned),
		api.Storage.Free.Handle(s, c.Free),
		api.Storage.Put.Handle(s, c.Put),
		api.Storage.Blocks.Handle(s, c.Blocks),
		api.Storage.Read.Handle(s, c.Read),
	)
}

// Close closes the store. No call may be under way.
func (c *Connector) Close() error { return c.data.Close() }

// Free returns for how many bytes there is room.
func (c *Connector) Free(context.Context, api.Nothing) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.capacity - min(c.used, c.capacity), nil
}

// measure counts what is there.
func (c *Connector) measure() error {
	ctx := context.Background()
	keys, err := c.blocks.AllKeysChan(ctx)
	if err != nil {
		return err
	}
	for k := range keys {
		n, err := c.blocks.GetSize(ctx, k)
		if err != nil {
			return err
		}
		c.used += uint64(n)
	}
	return nil
}
