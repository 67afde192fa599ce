package rpc

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

// CallAll calls the method on many peers and yields their replies as they
// arrive, each labelled with its peer, under the rules of [Method.CallAll]. A
// peer's call that ends well yields nothing more; one that fails yields its
// error, which is the last of that peer. Replies are taken from the peers as
// fast as the loop goes, and a peer that is slow to reply holds up nobody. The
// argument is encoded for each peer. What calls reply that go on after a
// [fan.WriteQuorum] is dropped.
func (m *ServerStream[A, R]) CallAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...fan.Option) iter.Seq2[peer.ID, fan.Result[R]] {
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
func (m *Duplex[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...fan.Option) *fan.Duplex[A, R] {
	d, calls := newSending[A, R](ctx, c, m.id, dests, &m.config, opts)
	d.Start(func(b *many.Branch[A], emit func(R) bool) many.Event[R] {
		err := m.converse(b, c, emit, calls)
		return many.Event[R]{Err: err, Has: err != nil}
	})
	return (*fan.Duplex[A, R])(d)
}

func newSending[A, R any](ctx context.Context, c *Client, id ServiceID, dests []peer.ID, method *methodConfig, opts []fan.Option) (*many.Sending[A, R], []CallOption) {
	dests, config, calls := c.fanOut(id, Streaming, dests, method, opts)
	return many.NewSending[A, R](ctx, dests, config), calls
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

// OpenAll calls the method on many peers at once and returns the calls, for
// arguments to be sent to all of them. It does not wait. Every peer is called
// once, under the rules of [ClientStream.Open] and [Method.CallAll];
// [fan.InFlight] does not count, for all have to be there. The calls are over
// when Finish or Close has returned, or ctx has ended: one of these must come.
func (m *ClientStream[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...fan.Option) *fan.ClientStream[A, R] {
	d, calls := newSending[A, R](ctx, c, m.id, dests, &m.config, opts)
	d.Start(func(b *many.Branch[A], _ func(R) bool) (r many.Event[R]) {
		call := m.Open(b.Ctx, c, b.Peer, calls...)
		b.Pass(call.Send)
		r.Has = true
		r.Value, r.Err = call.Finish(b.Ctx)
		r.Err = b.Over(r.Err)
		return r
	})
	return (*fan.ClientStream[A, R])(d)
}
