// Package adder makes DAGs of files, and brings their blocks to the peers that
// are to keep them.
package adder

import (
	"context"
	"io"
	"time"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	ipld "github.com/ipfs/go-ipld-format"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Config says how files are added.
type Config struct {
	// Replicas is how many peers keep a file whose upload does not say.
	// Default 3.
	Replicas int
	// Patience is how long a peer may take to store a block. Default 30 s.
	Patience time.Duration
}

// Adder serves api.Adder.
type Adder struct {
	client   *rpc.Client
	replicas int
	patience time.Duration
}

// New returns an adder. The client is its way to the other components.
func New(client *rpc.Client, cfg Config) *Adder {
	if cfg.Replicas == 0 {
		cfg.Replicas = 3
	}
	if cfg.Patience == 0 {
		cfg.Patience = 30 * time.Second
	}
	return &Adder{client, cfg.Replicas, cfg.Patience}
}

// Register makes the methods callable.
func (a *Adder) Register(s *rpc.Server) error { return api.Adder.Add.Handle(s, a.Add) }

// Add takes a file and tells how it gets on. Its last message has the pin: the
// file is then on all the peers that the pin names, and the pin is agreed
// upon. If Add fails, the peers give up what they have stored; if only the agreement
// fails, which may have come about all the same, that will be swept.
func (a *Adder) Add(ctx context.Context, in *rpc.Receiver[api.Upload], out *rpc.Sender[api.Added]) error {
	first, err := in.Receive(ctx)
	if err != nil && err != io.EOF {
		return err
	}
	pin := api.Pin{Name: first.Name, Replicas: first.Replicas, Created: time.Now().UTC()}
	if pin.Replicas == 0 {
		pin.Replicas = a.replicas
	}
	request := api.AllocationRequest{Replicas: pin.Replicas}
	if pin.Allocations, err = api.Allocator.Allocate.Call(ctx, a.client, "", request); err != nil {
		return err
	}
	sink := newSink(ctx, a.client, pin.Allocations, out, a.patience)
	defer sink.close()
	root, err := layout(&uploadReader{ctx: ctx, in: in, rest: first.Data}, sink)
	if err != nil {
		return err
	}
	if err := sink.finish(); err != nil {
		return err
	}
	pin.Cid = root.Cid()
	if _, err := api.Consensus.Commit.Call(ctx, a.client, "", api.Op{Kind: api.OpPin, Pin: &pin}); err != nil {
		return err
	}
	done := sink.progress()
	done.Pin = &pin
	return out.Send(ctx, done)
}

// layout cuts what it reads into blocks, and makes a balanced tree of them.
func layout(file io.Reader, sink *sink) (ipld.Node, error) {
	params := helpers.DagBuilderParams{
		Dagserv:    sink,
		Maxlinks:   helpers.DefaultLinksPerBlock,
		RawLeaves:  true,
		CidBuilder: merkledag.V1CidPrefix(),
	}
	builder, err := params.New(chunk.NewSizeSplitter(file, chunk.DefaultBlockSize))
	if err != nil {
		return nil, err
	}
	return balanced.Layout(builder)
}

// uploadReader reads the pieces of an upload as one.
type uploadReader struct {
	ctx  context.Context
	in   *rpc.Receiver[api.Upload]
	rest []byte
}

func (r *uploadReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		piece, err := r.in.Receive(r.ctx)
		if err != nil {
			return 0, err // io.EOF after the last
		}
		r.rest = piece.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
