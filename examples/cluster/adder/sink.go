package adder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/fan"
)

// sink is where the DAG builder's blocks go: to all of some peers. The slowest
// sets the pace, and the first that fails ends it.
type sink struct {
	ipld.DAGService // what a builder does not use
	ctx             context.Context
	cancel          context.CancelCauseFunc
	stores          *fan.Duplex[api.Block, api.Stored]
	out             *rpc.Sender[api.Added]
	over            chan struct{} // closed when no more acknowledgements come

	mu       sync.Mutex
	sent     *cid.Set
	complete bool // all blocks are sent
	done     api.Added
}

func newSink(ctx context.Context, client *rpc.Client, to []peer.ID, out *rpc.Sender[api.Added]) *sink {
	s := &sink{out: out, over: make(chan struct{}), sent: cid.NewSet()}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.stores = api.Storage.Put.OpenAll(s.ctx, client, to)
	go func() {
		defer close(s.over)
		if err := s.acknowledged(to); err != nil {
			s.cancel(err)
		}
	}()
	return s
}

// acknowledged counts what the peers have stored, until all is.
func (s *sink) acknowledged(to []peer.ID) error {
	stored := make(map[peer.ID]int)
	for p, ack := range s.stores.All(s.ctx) {
		if ack.Err != nil {
			return fmt.Errorf("storing at %v: %w", p, ack.Err)
		}
		stored[p]++
		s.mu.Lock()
		s.done.Stored++
		s.mu.Unlock()
		if err := s.out.Send(s.ctx, s.progress()); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range to {
		if !s.complete || stored[p] < s.sent.Len() {
			return rpc.Errorf(codes.DataLoss, "%v has acknowledged only %d of %d blocks", p, stored[p], s.sent.Len())
		}
	}
	return nil
}

func (s *sink) progress() api.Added {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// Add sends a block to all peers, unless it was sent before.
func (s *sink) Add(_ context.Context, node ipld.Node) error {
	id, data := node.Cid(), node.RawData()
	s.mu.Lock()
	if id.Type() == cid.Raw {
		s.done.Bytes += int64(len(data))
	}
	first := s.sent.Visit(id)
	s.done.Blocks = s.sent.Len()
	s.mu.Unlock()
	if !first {
		return nil
	}
	if err := s.stores.Send(s.ctx, api.Block{Cid: id, Data: data}); err != nil {
		if err != io.EOF { // which says no more than that the calls are over
			s.cancel(err)
		}
		<-s.over // what was received tells why
		return cmp.Or(context.Cause(s.ctx), err)
	}
	return nil
}

// AddMany is Add, of several.
func (s *sink) AddMany(ctx context.Context, nodes []ipld.Node) error {
	for _, n := range nodes {
		if err := s.Add(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// finish returns when all peers have acknowledged all blocks.
func (s *sink) finish() error {
	s.mu.Lock()
	s.complete = true
	s.mu.Unlock()
	_ = s.stores.CloseSend()
	<-s.over
	return context.Cause(s.ctx)
}

// close ends what is under way.
func (s *sink) close() {
	s.cancel(nil)
	_ = s.stores.Close()
	<-s.over
}
