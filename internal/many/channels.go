package many

import (
	"context"
	"reflect"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// Channels are the two of a stream by name to one of several peers.
type Channels struct {
	peer    peer.ID
	ctx     context.Context
	cancel  context.CancelCauseFunc
	args    reflect.Value // what the call reads
	feed    flow.ChanSink // puts into args
	replies reflect.Value // what the call writes
	over    chan struct{} // closed when the call has returned
}

// NewChannels returns those of a call of p, of which buffer arguments wait at most. Run
// follows.
func NewChannels(ctx context.Context, p peer.ID, arg, reply reflect.Type, buffer int) *Channels {
	b := &Channels{peer: p, args: flow.MakeChan(arg, buffer), replies: flow.MakeChan(reply, 0), over: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	b.feed.Init(b.args, b.over, b.ctx.Done())
	return b
}

// Run makes the call and passes its replies on to to. Its error is that of stream, or
// the fault for which the call was given up.
func (b *Channels) Run(to *flow.ChanSink, stream func(ctx context.Context, own *flow.Ends, arg, reply reflect.Type) error) error {
	defer b.cancel(nil)
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		var from flow.ChanSource
		from.Init(b.replies, nil, nil)
		if err := flow.Pump(&from, passOn{to}); err != nil {
			if err != flow.ErrStopped { // or the caller's context has ended, and this one with it
				b.cancel(call.Fail(call.OfClient, codes.FailedPrecondition, "%w", err))
			}
			from.Discard(b.over)
		}
	}()
	err := b.call(stream)
	close(b.over)
	<-passed
	if cause, own := context.Cause(b.ctx).(*call.Fault); err != nil && own {
		return cause
	}
	return err
}

func (b *Channels) call(stream func(context.Context, *flow.Ends, reflect.Type, reflect.Type) error) error {
	own := flow.NewEnds(b.args, b.replies, b.ctx.Done(), nil)
	defer own.Finish()
	return stream(b.ctx, own, b.args.Type().Elem(), b.replies.Type().Elem())
}

// passOn is a sink that is shared, and so not ended by one of its users.
type passOn struct{ *flow.ChanSink }

func (passOn) End() error { return nil }

// Distributor is the sink that is all of To. With a Stall, who takes nothing for so long
// is given up.
type Distributor struct {
	To    []*Channels
	Stall time.Duration
}

// Put is that of [flow.Sink].
func (d *Distributor) Put(it flow.Item) error {
	var late <-chan struct{}
	if d.Stall > 0 {
		// One time for all: whoever is not waited for first has had it too.
		ctx, cancel := context.WithTimeout(context.Background(), d.Stall)
		defer cancel()
		late = ctx.Done()
	}
	err := flow.ErrStopped
	for _, b := range d.To {
		b.feed.LateOn(late)
		switch b.feed.Put(it) {
		case nil:
			err = nil
		case flow.ErrLate:
			b.cancel(call.Fail(call.OfClient, codes.ResourceExhausted, "peer %v took no argument for %v", b.peer, d.Stall).
				Named().Limited("WithMultiStreamStallTimeout"))
		}
	}
	return err
}

// Flush is that of [flow.Sink].
func (d *Distributor) Flush() error { return nil }

// End is that of [flow.Sink].
func (d *Distributor) End() error {
	for _, b := range d.To {
		_ = b.feed.End()
	}
	return nil
}
