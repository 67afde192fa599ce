package rpc

import (
	"context"
	"iter"
	"time"

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

	buffer int // of streams
	stall  timeout
}

func (o CallOption) fan(f *fanConfig) {
	forMany(o)
	f.calls = append(f.calls, o)
}

type fanOption func(*fanConfig)

func (o fanOption) fan(f *fanConfig) { o(f) }

// FanInFlight bounds how many peers' calls are under way at once, or have ended
// with a result that the loop has not come to yet. Each has a goroutine. Below
// 1, the default, all are made at once, so that no peer waits for another; so
// they are by a call that sends to many, such as [Duplex.OpenAll].
func FanInFlight(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.inFlight = n })
}

// FanFirst ends the results when n peers have succeeded: their calls have ended
// well. The calls that are still under way are cancelled. If fewer succeed, all
// results come. Below 1, the default, all come.
func FanFirst(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.enough, f.quorum = n, false })
}

// FanQuorum is [FanFirst] that also ends the results as soon as so many peers
// have failed that n can no longer succeed. No call is made if there are fewer
// than n peers.
func FanQuorum(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.enough, f.quorum = n, true })
}

// FanBuffer sets how many arguments a call that sends to many, such as
// [Duplex.OpenAll], holds for each peer, beside those that are on their way to
// it. Default 16.
func FanBuffer(n int) FanOption {
	return fanOption(func(f *fanConfig) { f.buffer = max(n, 0) })
}

// FanStallTimeout makes a call that sends to many give up a peer that has had
// no room for an argument for d: its error has [codes.ResourceExhausted], and the
// others go on without it. 0 gives it up at once. Without this option the
// others wait for it.
func FanStallTimeout(d time.Duration) FanOption {
	return fanOption(func(f *fanConfig) { f.stall = timeout{max(d, 0), true} })
}

// defaultFanBuffer is that of FanBuffer.
const defaultFanBuffer = 16

func fanConfigOf(opts []FanOption) fanConfig {
	f := fanConfig{buffer: defaultFanBuffer}
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

// fanOut is CallAll with its options settled.
func fanOut[R any](ctx context.Context, c *Client, config *methodConfig, id ServiceID, dests []peer.ID, arg any, f fanConfig) iter.Seq2[peer.ID, Result[R]] {
	return fanLoop(ctx, c, dests, f, func(dests []peer.ID) fanCall[R] {
		o := c.settled(config.calls, f.calls)
		arg := c.encodeOnce(dests, arg)
		return func(ctx context.Context, dest peer.ID, _ func(R) bool) (r Result[R], has bool) {
			r.Err = c.callEach(ctx, o, dest, id, arg, &r.Value)
			return r, true
		}
	})
}
