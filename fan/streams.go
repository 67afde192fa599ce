package fan

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

// Duplex is calls of a duplex method on many peers, as its OpenAll returns them. Its
// methods are safe for concurrent use: mostly one goroutine sends and another has the
// loop over the replies.
type Duplex[A, R any] many.Sending[A, R]

func (d *Duplex[A, R]) calls() *many.Sending[A, R] { return (*many.Sending[A, R])(d) }

// Send sends an argument to all peers whose calls are not over, and whose it is then:
// do not change what it points to. A slow peer has as many arguments held for it as
// [Buffer] says; without room for one more, Send waits, when all others have it, or
// gives that peer up, as [StallTimeout] says. When ctx ends while it waits, it returns
// that error and gives up the peers that have not had the argument: none goes on with a
// gap. It returns io.EOF if all calls are over, or CloseSend was called.
func (d *Duplex[A, R]) Send(ctx context.Context, arg A) error { return d.calls().Send(ctx, arg) }

// CloseSend ends the arguments: the methods are told when they have received
// the last. It waits for a Send that is under way. It always returns nil, and
// may be called several times.
func (d *Duplex[A, R]) CloseSend() error { return d.calls().CloseSend() }

// All yields the replies of all peers as they arrive, and last of each peer whose call
// fails its error, until all calls are over or enough have ended well ([Quorum] and the
// like). The others are then cancelled or, with [WriteQuorum], go on: their replies are
// dropped, and another loop yields their errors. If ctx ends before, the last result
// has no peer and the context's error. A peer whose replies nobody takes stops. To
// leave the loop does not end the calls: another may follow, one at a time.
func (d *Duplex[A, R]) All(ctx context.Context) iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) { d.calls().All(ctx, resultOf(yield)) }
}

// Close cancels the calls that are not over, and waits until nothing of them
// remains here. Of those that go on after a [WriteQuorum] it ends the arguments
// only, as CloseSend does. It always returns nil, and may be called several times.
func (d *Duplex[A, R]) Close() error { return d.calls().Close() }

// ClientStream is calls of a client stream on many peers, as its OpenAll returns them.
// Its methods are safe for concurrent use.
type ClientStream[A, R any] many.Sending[A, R]

func (c *ClientStream[A, R]) calls() *many.Sending[A, R] { return (*many.Sending[A, R])(c) }

// Send sends an argument to all peers whose calls are not over, under the
// rules of [Duplex.Send].
func (c *ClientStream[A, R]) Send(ctx context.Context, arg A) error { return c.calls().Send(ctx, arg) }

// Finish ends the arguments and collects the peers' replies, under the rules of
// Method.CollectAll. When ctx ends before, it closes the calls, whose errors tell so,
// or leaves them alone if they are [Detached]. If Close has ended calls, the error says
// how many peers had succeeded. It waits for a Send that is under way. The results are
// returned once: later calls return an error with codes.FailedPrecondition.
func (c *ClientStream[A, R]) Finish(ctx context.Context) (got Results[R], err error) {
	err = c.calls().Finish(ctx, func(f *many.Fan[R]) (err error) {
		got, err = collect(ctx, f)
		return err
	})
	return got, err
}

// Close cancels the calls that are not over, and waits until nothing of them
// remains here; those that go on after Finish ([WriteQuorum]) it leaves alone. It
// always returns nil, and may be called several times.
func (c *ClientStream[A, R]) Close() error { return c.calls().Close() }
