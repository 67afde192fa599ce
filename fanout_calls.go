package rpc

import (
	"context"
	"fmt"
	"iter"
	"strings"
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

// Results are the results of a call of many peers, once it is over. A peer
// that was not waited for, because enough others had succeeded, is in neither
// map.
type Results[R any] struct {
	// Values are the replies of the calls that succeeded.
	Values map[peer.ID]R
	// Errors are the errors of those that did not.
	Errors map[peer.ID]error
}

// CollectAll is [Method.CallAll] that waits for the results. Its error is nil
// if all peers succeeded or, where [FanFirst] or [FanQuorum] say how many are
// enough, if so many did. Otherwise its text names the peers that failed, the
// first of them if there are many, with their errors, which errors.Is and
// errors.As find in it.
func (m *Method[A, R]) CollectAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...FanOption) (Results[R], error) {
	f := fanConfigOf(opts)
	t := tally{left: len(c.distinct(dests)), fanConfig: f}
	return collect(m.id, &t, func(yield func(peer.ID, Result[R]) bool) bool {
		for p, result := range fanOut[R](ctx, c, &m.config, m.id, dests, arg, f) {
			t.add(result.Err)
			yield(p, result)
		}
		return true
	})
}

// collect gathers what results yields. t is of when it has.
func collect[R any](id ServiceID, t *tally, results func(func(peer.ID, Result[R]) bool) bool) (Results[R], error) {
	got := Results[R]{make(map[peer.ID]R), make(map[peer.ID]error)}
	failed := &fanError{id: id}
	results(func(p peer.ID, result Result[R]) bool {
		if result.Err != nil {
			got.Errors[p] = result.Err
			failed.add(p, result.Err)
		} else {
			got.Values[p] = result.Value
		}
		return true
	})
	if t.enough > 0 && t.reached() || t.enough <= 0 && t.left+len(failed.errs) == 0 {
		return got, nil
	}
	failed.tally = *t
	return got, failed
}

// fanError joins the errors of peers.
type fanError struct {
	id    ServiceID
	tally tally
	peers []peer.ID
	errs  []error
}

// mostNamed is how many peers the text of a fanError names.
const mostNamed = 16

func (e *fanError) add(p peer.ID, err error) {
	e.peers, e.errs = append(e.peers, p), append(e.errs, err)
}

func (e *fanError) Error() string {
	var b strings.Builder
	t := &e.tally
	fmt.Fprintf(&b, "rpc: %v: %d of %d peers succeeded", e.id, t.succeeded, t.succeeded+len(e.errs)+t.left)
	if t.enough > 0 {
		fmt.Fprintf(&b, ", and %d were needed", t.enough)
	}
	for i, err := range e.errs[:min(len(e.errs), mostNamed)] {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		p, text := "peer "+e.peers[i].String(), err.Error()
		if own, ok := err.(*Error); !ok || own.kind == NonRPCErr || !strings.Contains(text, p) {
			b.WriteString(p + ": ") // the library's own mostly say it
		}
		b.WriteString(text)
	}
	if n := len(e.errs) - mostNamed; n > 0 {
		fmt.Fprintf(&b, "; and %d more", n)
	}
	return b.String()
}

func (e *fanError) Unwrap() []error { return e.errs }
