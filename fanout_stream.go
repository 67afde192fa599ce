package rpc

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// CallAll calls the method on many peers and yields their replies as they
// arrive, each labelled with its peer, under the rules of [Method.CallAll]. A
// peer's call that ends well yields nothing more; one that fails yields its
// error, which is the last of that peer. Replies are taken from the peers as
// fast as the loop goes, and a peer that is slow to reply holds up nobody. The
// argument is encoded for each peer.
func (m *ServerStream[A, R]) CallAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...FanOption) iter.Seq2[peer.ID, Result[R]] {
	f := fanConfigOf(opts)
	return fanLoop(ctx, c, dests, f, func([]peer.ID) fanCall[R] {
		return func(ctx context.Context, dest peer.ID, emit func(R) bool) (last Result[R], has bool) {
			for r, err := range m.Call(ctx, c, dest, arg, f.calls...) {
				if err != nil {
					return Result[R]{Err: err}, true
				}
				if !emit(r) {
					break
				}
			}
			return last, false
		}
	})
}

// OpenAll calls the method on many peers at once and returns the calls, for
// arguments to be sent to all of them. It does not wait. Every peer is called
// once, under the rules of [Duplex.Open] and [Method.CallAll]; [FanInFlight]
// does not count, for all have to be there. The calls are over when All has
// yielded all results, when Close has returned, or when ctx has ended: one of
// these must come.
func (m *Duplex[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...FanOption) *DuplexFan[A, R] {
	f := fanConfigOf(opts)
	dests = c.distinct(dests)
	d := &DuplexFan[A, R]{fan: newFan[R](ctx, dests, f)}
	d.sender = newFanSender[A](d.fan.ctx, ctx.Done(), m.id, dests, f)
	d.fan.start(dests, 0, func(_ context.Context, dest peer.ID, emit func(R) bool) (Result[R], bool) {
		err := m.converse(d.sender.branches[dest], c, emit, f.calls)
		return Result[R]{Err: err}, err != nil
	})
	return d
}

// converse makes the call of one peer of many.
func (m *Duplex[A, R]) converse(b *fanBranch[A], c *Client, emit func(R) bool, opts []CallOption) (err error) {
	call := m.Open(b.ctx, c, b.peer, opts...)
	var sending sync.WaitGroup
	sending.Go(func() {
		b.pass(call.Send)
		_ = call.CloseSend()
	})
	defer func() {
		_ = call.Close()
		err = b.ended(err)
		sending.Wait()
	}()
	for {
		r, err := call.Receive(b.ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil || !emit(r) {
			return err
		}
	}
}

// DuplexFan is calls of a [Duplex] on many peers. Its methods are safe for
// concurrent use: mostly one goroutine sends and another has the loop over the
// replies.
type DuplexFan[A, R any] struct {
	sender *fanSender[A]
	fan    *fan[R]
}

// Send sends an argument to all peers whose calls are not over. A peer that is
// slow has its arguments held for it, as many as [FanBuffer] says; where there
// is no room for one more, Send waits, after all others have been served, or
// gives that peer up, as [FanStallTimeout] says. When ctx ends while it waits,
// it returns that error, and the peers that have not had the argument are given
// up with it: none goes on with a gap. If all calls are over, or CloseSend was
// called, it returns io.EOF. The argument belongs to the calls then: what it
// points to must not be changed.
func (d *DuplexFan[A, R]) Send(ctx context.Context, arg A) error { return d.sender.send(ctx, arg) }

// CloseSend ends the arguments: the methods are told when they have received
// the last. It waits for a Send that is under way. It always returns nil, and
// may be called several times.
func (d *DuplexFan[A, R]) CloseSend() error { return d.sender.closeSend(context.Background()) }

// All yields the replies of all peers as they arrive, and for each peer whose
// call fails, last, its error, until all calls are over or enough have ended
// well ([FanFirst], [FanQuorum]); then those that are left are cancelled. They
// must be taken: a peer whose replies nobody takes stops. The loop may be left,
// and another begun, one at a time; to leave it does not end the calls.
func (d *DuplexFan[A, R]) All() iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) {
		if d.fan.each(yield) {
			d.fan.stop()
		}
	}
}

// Close cancels the calls that are not over, and waits until nothing of them
// remains here. It always returns nil, and may be called several times.
func (d *DuplexFan[A, R]) Close() error {
	d.fan.stop()
	return nil
}

// OpenAll calls the method on many peers at once and returns the calls, for
// arguments to be sent to all of them. It does not wait. Every peer is called
// once, under the rules of [ClientStream.Open] and [Method.CallAll];
// [FanInFlight] does not count, for all have to be there. The calls are over
// when Finish or Close has returned, or ctx has ended: one of these must come.
func (m *ClientStream[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...FanOption) *ClientStreamFan[A, R] {
	f := fanConfigOf(opts)
	dests = c.distinct(dests)
	d := &ClientStreamFan[A, R]{fan: newFan[R](ctx, dests, f)}
	d.sender = newFanSender[A](d.fan.ctx, ctx.Done(), m.id, dests, f)
	d.fan.start(dests, 0, func(_ context.Context, dest peer.ID, _ func(R) bool) (r Result[R], _ bool) {
		b := d.sender.branches[dest]
		call := m.Open(b.ctx, c, dest, f.calls...)
		b.pass(call.Send)
		r.Value, r.Err = call.Finish(b.ctx)
		r.Err = b.ended(r.Err)
		return r, true
	})
	return d
}

// ClientStreamFan is calls of a [ClientStream] on many peers. Its methods are
// safe for concurrent use.
type ClientStreamFan[A, R any] struct {
	sender    *fanSender[A]
	fan       *fan[R]
	finishing sync.Mutex // by one at a time
	finished  bool       // the results are another's
}

// Send sends an argument to all peers whose calls are not over, under the
// rules of [DuplexFan.Send].
func (d *ClientStreamFan[A, R]) Send(ctx context.Context, arg A) error {
	return d.sender.send(ctx, arg)
}

// Finish ends the arguments and collects the peers' replies, under the rules
// of [Method.CollectAll]. When ctx ends before, it closes the calls, whose
// errors tell so. If Close has ended calls, the error says how many peers had
// succeeded. It waits for a Send that is under way. The results are returned
// once: as with [ClientStreamCall.Finish], later calls of it return an error
// with [codes.FailedPrecondition].
func (d *ClientStreamFan[A, R]) Finish(ctx context.Context) (Results[R], error) {
	defer d.fan.stop()
	defer context.AfterFunc(ctx, func() { d.sender.giveUp(call.Ended(ctx)) })()
	d.finishing.Lock()
	defer d.finishing.Unlock()
	if d.finished {
		return Results[R]{}, fail(d.sender.id, "", codes.FailedPrecondition, "Finish was called before, and has returned the results")
	}
	d.finished = true
	_ = d.sender.closeSend(ctx)
	return collect(d.sender.id, &d.fan.tally, d.fan.each)
}

// Close cancels the calls that are not over, and waits until nothing of them
// remains here. It always returns nil, and may be called several times.
func (d *ClientStreamFan[A, R]) Close() error {
	d.fan.stop()
	return nil
}
