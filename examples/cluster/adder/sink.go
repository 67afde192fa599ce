package adder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// sink is where the DAG builder's blocks go: to all of some peers. The slowest
// sets the pace, and the first that fails ends it.
type sink struct {
	ipld.DAGService // what a builder does not use
	ctx             context.Context
	cancel          context.CancelCauseFunc
	puts            []*rpc.DuplexCall[api.Block, api.Stored]
	out             *rpc.Sender[api.Added]
	wg              sync.WaitGroup // of those who receive acknowledgements

	mu       sync.Mutex
	sent     *cid.Set
	complete bool // all blocks are sent
	done     api.Added
}

func newSink(ctx context.Context, client *rpc.Client, to []peer.ID, out *rpc.Sender[api.Added]) *sink {
	s := &sink{out: out, sent: cid.NewSet()}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	for _, p := range to {
		put := api.Storage.Put.Open(s.ctx, client, p)
		s.puts = append(s.puts, put)
		s.wg.Go(func() {
			if err := s.acknowledged(put); err != nil {
				s.cancel(fmt.Errorf("storing at %v: %w", p, err))
			}
		})
	}
	return s
}

// acknowledged counts what a peer has stored, until all is.
func (s *sink) acknowledged(put *rpc.DuplexCall[api.Block, api.Stored]) error {
	n := 0
	for _, err := range put.All(s.ctx) {
		if err != nil {
			return err
		}
		n++
		s.mu.Lock()
		s.done.Stored++
		s.mu.Unlock()
		if err := s.out.Send(s.ctx, s.progress()); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.complete || n < s.sent.Len() {
		return api.Errorf(rpc.CodeDataLoss, "only %d of %d blocks were acknowledged", n, s.sent.Len())
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
	for _, put := range s.puts {
		if err := put.Send(s.ctx, api.Block{Cid: id, Data: data}); err != nil {
			return s.because(err)
		}
	}
	return nil
}

// because returns why a peer takes no more blocks. That a call is over is all
// that sending tells; receiving tells why.
func (s *sink) because(err error) error {
	if errors.Is(err, io.EOF) {
		<-s.ctx.Done()
	}
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return err
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
	for _, put := range s.puts {
		_ = put.CloseSend()
	}
	s.wg.Wait()
	return context.Cause(s.ctx)
}

// close ends what is under way.
func (s *sink) close() {
	s.cancel(nil)
	for _, put := range s.puts {
		_ = put.Close()
	}
	s.wg.Wait()
}
