package rpc

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// fanCall is the call of one peer of many. It passes on what comes before its
// end by emit, until that returns false, and returns what comes last, if there
// is anything in it but the end.
type fanCall[R any] func(ctx context.Context, dest peer.ID, emit func(R) bool) (last Result[R], has bool)

// fan is a call of many peers under way, with no more goroutines for it than
// there are calls at once.
type fan[R any] struct {
	tally   tally
	results chan fanResult[R]
	ctx     context.Context // of the calls
	cancel  context.CancelFunc
	stopped chan struct{}
	once    sync.Once
	workers sync.WaitGroup
}

type fanResult[R any] struct {
	peer   peer.ID
	result Result[R]
	has    bool // there is a result
	last   bool // of the peer's
}

// fanLoop is the loop that makes calls and yields their results. prepare is
// called by each.
func fanLoop[R any](ctx context.Context, c *Client, dests []peer.ID, config fanConfig, prepare func(dests []peer.ID) fanCall[R]) iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) {
		dests := c.distinct(dests)
		f := newFan[R](ctx, dests, config)
		defer f.stop()
		f.start(dests, config.inFlight, prepare(dests))
		f.each(yield)
	}
}

// newFan returns one that has to be stopped.
func newFan[R any](ctx context.Context, dests []peer.ID, config fanConfig) *fan[R] {
	f := &fan[R]{
		tally:   tally{left: len(dests), fanConfig: config},
		results: make(chan fanResult[R]), stopped: make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// start makes the calls, or none where they could not be enough.
func (f *fan[R]) start(dests []peer.ID, inFlight int, call fanCall[R]) {
	if !f.tally.goesOn() {
		f.cancel() // for who sends to them
		return
	}
	workers := len(dests)
	if inFlight > 0 {
		workers = min(workers, inFlight)
	}
	var next atomic.Int64
	for range workers {
		f.workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(dests)) && !flow.IsClosed(f.stopped); i = next.Add(1) - 1 {
				dest := dests[i]
				last, has := call(f.ctx, dest, func(r R) bool {
					return f.emit(fanResult[R]{dest, Result[R]{Value: r}, true, false})
				})
				f.emit(fanResult[R]{dest, last, has, true})
			}
		})
	}
}

func (f *fan[R]) emit(r fanResult[R]) bool {
	select {
	case f.results <- r:
		return true
	case <-f.stopped:
		return false
	}
}

// each yields results until there are enough, or none are left. It returns
// false if yield did.
func (f *fan[R]) each(yield func(peer.ID, Result[R]) bool) bool {
	for f.tally.goesOn() {
		var got fanResult[R]
		select {
		case got = <-f.results:
		case <-f.stopped:
			return true
		}
		if got.last {
			f.tally.add(got.result.Err)
		}
		if got.has && !yield(got.peer, got.result) {
			return false
		}
	}
	return true
}

// stop cancels the calls that are under way and waits for them.
func (f *fan[R]) stop() {
	f.once.Do(func() { close(f.stopped) })
	f.cancel()
	f.workers.Wait()
}

// tally counts the peers that have succeeded, and those that may yet.
type tally struct {
	fanConfig
	left, succeeded int
}

func (t *tally) add(err error) {
	t.left--
	if err == nil {
		t.succeeded++
	}
}

func (t *tally) goesOn() bool {
	if t.left == 0 || t.enough > 0 && t.reached() {
		return false
	}
	return !t.quorum || t.succeeded+t.left >= t.enough
}

// reached reports whether as many have succeeded as were asked for.
func (t *tally) reached() bool { return t.succeeded >= t.enough }

// distinct returns each destination once, by the name that its results have.
func (c *Client) distinct(dests []peer.ID) []peer.ID {
	seen := make(map[peer.ID]struct{}, len(dests))
	all := make([]peer.ID, 0, len(dests))
	for _, dest := range dests {
		if c.isLocal(dest) {
			dest = c.id
		}
		if _, again := seen[dest]; !again {
			seen[dest] = struct{}{}
			all = append(all, dest)
		}
	}
	return all
}
