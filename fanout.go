package rpc

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Result is what one peer answered to a call of many.
type Result[R any] struct {
	// Value is the reply. It is there beside a method's error too.
	Value R
	// Err is the error of the peer's call, nil if it succeeded.
	Err error
}

// FanOption configures a call of many peers, such as [Method.CallAll]. Every
// [CallOption] is one too, and holds for the call of each peer.
type FanOption interface{ fan(*fanConfig) }

type fanConfig struct {
	calls    []CallOption
	inFlight int
	enough   int  // successes
	quorum   bool // stop when there cannot be enough
}

func (o CallOption) fan(f *fanConfig) { f.calls = append(f.calls, o) }

type fanOption func(*fanConfig)

func (o fanOption) fan(f *fanConfig) { o(f) }

// FanInFlight bounds how many peers' calls are under way at once, or have ended
// with a result that the loop has not come to yet. Each has a goroutine. Below
// 1, the default, all are made at once, so that no peer waits for another.
func FanInFlight(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.inFlight = n })
}

// FanFirst ends the results after the first n that are successes. The calls
// that are still under way are cancelled. If fewer succeed, all results come.
// Below 1, the default, all come.
func FanFirst(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.enough, f.quorum = n, false })
}

// FanQuorum is [FanFirst] that also ends the results as soon as so many peers
// have failed that n can no longer succeed. No call is made if there are fewer
// than n peers.
func FanQuorum(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.enough, f.quorum = n, true })
}

func fanConfigOf(opts []FanOption) fanConfig {
	var f fanConfig
	for _, opt := range opts {
		opt.fan(&f)
	}
	return f
}

// CallAll calls the method on many peers and yields each one's result as it
// arrives:
//
//	for peer, result := range Status.CallAll(ctx, client, peers, Query{}, rpc.CallTimeout(time.Second)) {
//		if result.Err != nil { ... }
//	}
//
// Every peer is called once, though it be in dests several times; an empty ID
// is the host's own, and its call is local. The argument is encoded once for
// all, when the loop begins. Every call is one of [Method.Call], under the same
// rules and options: [CallTimeout] is what each peer has. [FanInFlight] bounds
// how many there are at once, [FanFirst] and [FanQuorum] say how many
// successes are enough.
//
// The calls are made by the loop: none before it, and all again by another.
// Where it ends early, by break or because there are enough results, the calls
// under way are cancelled, their methods' contexts too, and no goroutine of
// theirs is left. When ctx ends, the peers that have not answered yield its
// error. Without dests nothing is yielded.
func (m *Method[A, R]) CallAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...FanOption) iter.Seq2[peer.ID, Result[R]] {
	return fanOut[R](ctx, c, &m.config, m.id, dests, arg, fanConfigOf(opts))
}

func fanOut[R any](ctx context.Context, c *Client, config *methodConfig, id ServiceID, dests []peer.ID, arg any, f fanConfig) iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) {
		dests := c.distinct(dests)
		tally := tally{left: len(dests), fanConfig: f}
		if !tally.goesOn() {
			return
		}
		o := c.settled(config.calls, f.calls)
		arg := c.encodeOnce(dests, arg)
		calls := startFan(ctx, dests, f.inFlight, func(ctx context.Context, dest peer.ID) (r Result[R]) {
			r.Err = c.callWith(ctx, o, dest, id.Name, id.Method, arg, &r.Value)
			return r
		})
		defer calls.stop()
		for tally.goesOn() {
			got := <-calls.results
			tally.add(got.value.Err)
			if !yield(got.peer, got.value) {
				return
			}
		}
	}
}

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

// tally counts results.
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
	if t.left == 0 || t.reached() && t.enough > 0 {
		return false
	}
	return !t.quorum || t.succeeded+t.left >= t.enough
}

// reached reports whether as many have succeeded as were asked for.
func (t *tally) reached() bool { return t.succeeded >= t.enough }

// fan is a call of many peers under way, with no more goroutines than calls at
// once.
type fan[T any] struct {
	results chan labelled[T]
	cancel  context.CancelFunc
	stopped chan struct{}
	workers sync.WaitGroup
}

type labelled[T any] struct {
	peer  peer.ID
	value T
}

// startFan calls call for every peer and sends on results what it returns.
// Whoever starts one stops it.
func startFan[T any](ctx context.Context, dests []peer.ID, inFlight int, call func(context.Context, peer.ID) T) *fan[T] {
	f := &fan[T]{results: make(chan labelled[T]), stopped: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(ctx)
	workers := len(dests)
	if inFlight > 0 {
		workers = min(workers, inFlight)
	}
	var next atomic.Int64
	for range workers {
		f.workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(dests)) && !isClosed(f.stopped); i = next.Add(1) - 1 {
				select {
				case f.results <- labelled[T]{dests[i], call(ctx, dests[i])}:
				case <-f.stopped:
				}
			}
		})
	}
	return f
}

// stop cancels the calls that are under way and waits for them.
func (f *fan[T]) stop() {
	close(f.stopped)
	f.cancel()
	f.workers.Wait()
}
