package storage

import (
	"context"
	"errors"
	"io"
	"time"

	unixfs "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Put stores blocks, and acknowledges each when it will survive a crash. If it fails, or
// the caller gives the call up, those are given up that nobody else needs.
func (c *Connector) Put(ctx context.Context, sent *rpc.Receiver[api.Block], stored *rpc.Sender[api.Stored]) (err error) {
	own := make(map[string]time.Time)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.giveUp(own))
		}
	}()
	for b, err := range sent.All(ctx) {
		if err != nil {
			return err
		}
		checked, err := check(b)
		if err != nil {
			return err
		}
		at, err := c.put(ctx, checked)
		own[string(checked.Cid().Hash())] = at
		if err != nil {
			return err
		}
		if err := stored.Send(ctx, api.Stored{Bytes: len(b.Data)}); err != nil {
			return err
		}
	}
	return nil
}

const pieceSize = 256 << 10

// Read sends the contents of a file, piece by piece. Blocks that are not here
// come from the other peers, and are not kept.
func (c *Connector) Read(ctx context.Context, root cid.Cid, pieces *rpc.Sender[[]byte]) error {
	node, err := getter{c}.Get(ctx, root)
	if err != nil {
		return err
	}
	r, err := unixfs.NewDagReader(ctx, node, getter{c})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		piece := make([]byte, pieceSize)
		n, err := io.ReadFull(r, piece)
		if n > 0 {
			if err := pieces.Send(ctx, piece[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// getter gives a reader of DAGs the blocks of this peer and of the others.
type getter struct{ c *Connector }

func (g getter) Get(ctx context.Context, id cid.Cid) (ipld.Node, error) {
	for option := range g.GetMany(ctx, []cid.Cid{id}) {
		return option.Node, option.Err
	}
	return nil, ctx.Err()
}

// GetMany promises room in the channel for all that it sends.
func (g getter) GetMany(ctx context.Context, ids []cid.Cid) <-chan *ipld.NodeOption {
	nodes := make(chan *ipld.NodeOption, len(ids)+1)
	send := func(_ context.Context, b blocks.Block) error {
		node, err := decode(b)
		if err == nil {
			nodes <- &ipld.NodeOption{Node: node}
		}
		return err
	}
	go func() {
		defer close(nodes)
		if err := g.each(ctx, ids, send); err != nil {
			nodes <- &ipld.NodeOption{Err: err}
		}
	}()
	return nodes
}

func (g getter) each(ctx context.Context, ids []cid.Cid, use func(context.Context, blocks.Block) error) error {
	var missing []cid.Cid
	for _, id := range ids {
		switch b, err := g.c.blocks.Get(ctx, id); {
		case ipld.IsNotFound(err):
			missing = append(missing, id)
		case err != nil:
			return err
		default:
			if err := use(ctx, b); err != nil {
				return err
			}
		}
	}
	return g.c.fetch(ctx, nil, missing, use)
}
