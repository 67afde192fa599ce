package rpc

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

// CallAll calls the method on many peers and yields their replies as they
// arrive, each labelled with its peer, under the rules of [Method.CallAll]. A
// peer's call that ends well yields nothing more; one that fails yields its
// error, which is the last of that peer. Replies are taken from the peers as
// fast as the loop goes, and a peer that is slow to reply holds up nobody. The
// argument is encoded for each peer. What calls reply that go on after a
// [fan.WriteQuorum] is dropped.
func (m *ServerStream[A, R]) CallAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...fan.Option) iter.Seq2[peer.ID, Result[R]] {
	return callLoop(ctx, func() *many.Fan[R] {
		dests, config, calls := c.fanOut(m.id, Streaming, dests, &m.config, opts)
		f := many.New[R](ctx, dests, config)
		f.Start(func(ctx context.Context, dest peer.ID, emit func(R) bool) (last many.Event[R]) {
			for r, err := range m.Call(ctx, c, dest, arg, calls...) {
				if err != nil {
					return many.Event[R]{Err: err, Has: true}
				}
				if !emit(r) {
					break
				}
			}
			return last
		})
		return f
	})
}

// OpenAll calls the method on many peers at once and returns the calls, for
// arguments to be sent to all of them. It does not wait. Every peer is called
// once, under the rules of [Duplex.Open] and [Method.CallAll]; [fan.InFlight]
// does not count, for all have to be there. The calls are over when All has
// yielded all results, when Close has returned, or when ctx has ended: one of
// these must come.
func (m *Duplex[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...fan.Option) *DuplexFan[A, R] {
	d, calls := newSending[A, R](ctx, c, m.id, dests, &m.config, opts)
	d.fan.Start(func(_ context.Context, dest peer.ID, emit func(R) bool) many.Event[R] {
		err := m.converse(d.sender.Branch(dest), c, emit, calls)
		return many.Event[R]{Err: err, Has: err != nil}
	})
	return &DuplexFan[A, R]{d}
}

// sending is calls of many peers that all get the same arguments.
type sending[A, R any] struct {
	sender *many.Sender[A]
	fan    *many.Fan[R]
}

func newSending[A, R any](ctx context.Context, c *Client, id ServiceID, dests []peer.ID, method *methodConfig, opts []fan.Option) (*sending[A, R], []CallOption) {
	dests, config, calls := c.fanOut(id, Streaming, dests, method, opts)
	config.InFlight = 0
	f := many.New[R](ctx, dests, config)
	return &sending[A, R]{many.NewSender[A](f.Context(), ctx, dests, config), f}, calls
}

// close ends the calls, or what is sent to those that go on by themselves.
func (d *sending[A, R]) close() error {
	d.fan.Stop()
	if d.fan.WereLetGo() {
		return d.sender.Close(context.Background())
	}
	return nil
}

// converse makes the call of one peer of many.
func (m *Duplex[A, R]) converse(b *many.Branch[A], c *Client, emit func(R) bool, opts []CallOption) (err error) {
	call := m.Open(b.Ctx, c, b.Peer, opts...)
	var sending sync.WaitGroup
	sending.Go(func() {
		b.Pass(call.Send)
		_ = call.CloseSend()
	})
	defer func() {
		_ = call.Close()
		err = b.Over(err)
		sending.Wait()
	}()
	for {
		r, err := call.Receive(b.Ctx)
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
type DuplexFan[A, R any] struct{ *sending[A, R] }

// Send sends an argument to all peers whose calls are not over. A peer that is
// slow has its arguments held for it, as many as [fan.Buffer] says; where there
// is no room for one more, Send waits, after all others have been served, or
// gives that peer up, as [fan.StallTimeout] says. When ctx ends while it waits,
// it returns that error, and the peers that have not had the argument are given
// up with it: none goes on with a gap. If all calls are over, or CloseSend was
// called, it returns io.EOF. The argument belongs to the calls then: what it
// points to must not be changed.
func (d *DuplexFan[A, R]) Send(ctx context.Context, arg A) error { return d.sender.Send(ctx, arg) }

// CloseSend ends the arguments: the methods are told when they have received
// the last. It waits for a Send that is under way. It always returns nil, and
// may be called several times.
func (d *DuplexFan[A, R]) CloseSend() error { return d.sender.Close(context.Background()) }

// All yields the replies of all peers as they arrive, and for each peer whose call
// fails, last, its error, until all calls are over or enough have ended well
// ([fan.Quorum] and the like). Then those that are left are cancelled or, with
// [fan.WriteQuorum], go on: their replies are dropped, and another loop yields their
// errors. If ctx ends before, the last result has no peer and its error. Replies must
// be taken: a peer whose replies nobody takes stops. The loop may be left, and another
// begun, one at a time; to leave it does not end the calls.
func (d *DuplexFan[A, R]) All(ctx context.Context) iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) {
		if d.fan.WereLetGo() {
			d.fan.Rest(ctx, resultOf(yield))
		} else if d.fan.Each(ctx, resultOf(yield)) {
			d.fan.End()
		}
	}
}

// Close cancels the calls that are not over, and waits until nothing of them
// remains here. Of those that go on after a [fan.WriteQuorum] it ends the arguments
// only, as CloseSend does. It always returns nil, and may be called several times.
func (d *DuplexFan[A, R]) Close() error { return d.close() }

// OpenAll calls the method on many peers at once and returns the calls, for
// arguments to be sent to all of them. It does not wait. Every peer is called
// once, under the rules of [ClientStream.Open] and [Method.CallAll];
// [fan.InFlight] does not count, for all have to be there. The calls are over
// when Finish or Close has returned, or ctx has ended: one of these must come.
func (m *ClientStream[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...fan.Option) *ClientStreamFan[A, R] {
	d, calls := newSending[A, R](ctx, c, m.id, dests, &m.config, opts)
	d.fan.Start(func(_ context.Context, dest peer.ID, _ func(R) bool) (r many.Event[R]) {
		b := d.sender.Branch(dest)
		call := m.Open(b.Ctx, c, dest, calls...)
		b.Pass(call.Send)
		r.Has = true
		r.Value, r.Err = call.Finish(b.Ctx)
		r.Err = b.Over(r.Err)
		return r
	})
	return &ClientStreamFan[A, R]{sending: d, id: m.id}
}

// ClientStreamFan is calls of a [ClientStream] on many peers. Its methods are
// safe for concurrent use.
type ClientStreamFan[A, R any] struct {
	*sending[A, R]
	id        ServiceID
	finishing sync.Mutex // by one at a time
	finished  bool       // the results are another's
}

// Send sends an argument to all peers whose calls are not over, under the
// rules of [DuplexFan.Send].
func (d *ClientStreamFan[A, R]) Send(ctx context.Context, arg A) error {
	return d.sender.Send(ctx, arg)
}

// Finish ends the arguments and collects the peers' replies, under the rules
// of [Method.CollectAll]. When ctx ends before, it closes the calls, whose
// errors tell so, or leaves them alone if they are [fan.Detached]. If Close has ended
// calls, the error says how many peers had succeeded. It waits for a Send that is under
// way. The results are returned once: as with [ClientStreamCall.Finish], later calls of
// it return an error with [codes.FailedPrecondition].
func (d *ClientStreamFan[A, R]) Finish(ctx context.Context) (Results[R], error) {
	giveUp := func() {
		if !d.fan.WereLetGo() {
			d.sender.GiveUp(call.Ended(ctx))
		}
	}
	if !d.fan.Detached {
		defer context.AfterFunc(ctx, giveUp)()
	}
	d.finishing.Lock()
	defer d.finishing.Unlock()
	if d.finished {
		return Results[R]{}, fail(d.id, "", codes.FailedPrecondition, "Finish was called before, and has returned the results")
	}
	d.finished = true
	if d.sender.Close(ctx) != nil {
		giveUp() // there may be more arguments
	}
	return collect(ctx, d.id, d.fan)
}

// Close cancels the calls that are not over, and waits until nothing of them
// remains here; those that go on after Finish ([fan.WriteQuorum]) it leaves alone. It
// always returns nil, and may be called several times.
func (d *ClientStreamFan[A, R]) Close() error { return d.close() }
