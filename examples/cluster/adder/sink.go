package adder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

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

	to       []peer.ID
	patience time.Duration

	mu       sync.Mutex
	sent     *cid.Set
	stored   map[peer.ID]int // blocks that it has acknowledged
	complete bool            // all blocks are sent
	done     api.Added
	waits    *time.Timer // for an acknowledgement
	settled  sync.Once
}

func newSink(ctx context.Context, client *rpc.Client, to []peer.ID, out *rpc.Sender[api.Added], patience time.Duration) *sink {
	s := &sink{out: out, over: make(chan struct{}), to: to, patience: patience, sent: cid.NewSet(), stored: make(map[peer.ID]int)}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.stores = api.Storage.Put.OpenAll(s.ctx, client, to, fan.StallTimeout(patience))
	s.waits = time.AfterFunc(patience, s.late)
	go func() {
		defer close(s.over)
		if err := s.acknowledged(); err != nil {
			s.cancel(err)
		}
	}()
	return s
}

// acknowledged counts what the peers have stored, until all is.
func (s *sink) acknowledged() error {
	for p, ack := range s.stores.All(s.ctx) {
		if ack.Err != nil {
			return fmt.Errorf("storing at %v: %w", p, ack.Err)
		}
		s.mu.Lock()
		s.stored[p]++
		s.done.Stored++
		s.waits.Reset(s.patience)
		s.mu.Unlock()
		s.settle()
		if err := s.out.Send(s.ctx, s.progress()); err != nil {
			return err
		}
	}
	if p, n := s.behind(); n > 0 || !s.isComplete() {
		return rpc.Errorf(codes.DataLoss, "%v has left %d blocks without acknowledgement", p, n)
	}
	return nil
}

// behind returns a peer that has not acknowledged so many blocks, or 0.
func (s *sink) behind() (peer.ID, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.to {
		if n := s.sent.Len() - s.stored[p]; n > 0 {
			return p, n
		}
	}
	return "", 0
}

func (s *sink) isComplete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete
}

// settle ends the calls when all peers have everything. Before that a call that ends has
// failed, and the peers give up what they were sent.
func (s *sink) settle() {
	if _, n := s.behind(); n == 0 && s.isComplete() {
		s.settled.Do(func() { _ = s.stores.CloseSend() })
	}
}

// late gives up a peer that neither stores nor fails.
func (s *sink) late() {
	if p, n := s.behind(); n > 0 {
		s.cancel(rpc.Errorf(codes.DeadlineExceeded, "%v has acknowledged nothing for %v, and %d blocks are to be stored", p, s.patience, n))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits.Reset(s.patience) // the file is what is slow
}

func (s *sink) progress() api.Added {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// Add sends a block to all peers, unless it was sent before.
func (s *sink) Add(_ context.Context, node ipld.Node) error {
	id, data := node.Cid(), node.RawData()
	_, n := s.behind()
	idle := n == 0
	s.mu.Lock()
	if id.Type() == cid.Raw {
		s.done.Bytes += int64(len(data))
	}
	first := s.sent.Visit(id)
	if first && idle {
		s.waits.Reset(s.patience)
	}
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
	s.settle()
	<-s.over
	return context.Cause(s.ctx)
}

// close ends what is under way.
func (s *sink) close() {
	s.waits.Stop()
	s.cancel(nil)
	_ = s.stores.Close()
	<-s.over
}
