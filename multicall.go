package rpc

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// WithMultiStreamStallTimeout makes [Client.MultiStream] give up a destination
// that has taken no argument for d although one was waiting: its error has
// [codes.ResourceExhausted], and the others go on without it. 0, the default, is no
// limit: they wait for it.
func WithMultiStreamStallTimeout(d time.Duration) ClientOption {
	return func(c *Client) { c.multiStall = d }
}

// MultiCall calls svc.method on every destination at once, each with its own
// context, and waits for all. Replies are stored where the pointers in replies
// say. The errors returned are in the order of dests, nil for each call that
// succeeded. The argument is encoded once for all. Calls on open sessions need
// no goroutine each.
//
// It panics unless ctxs, dests and replies are of the same length and all
// replies are pointers.
func (c *Client) MultiCall(ctxs []context.Context, dests []peer.ID, svc, method string, args any, replies []any) []error {
	id := ServiceID{svc, method}
	checkMulti(id, len(ctxs), len(dests), len(replies), len(replies))
	for _, r := range replies {
		checkReply(id, r)
	}
	encoded := c.encodeOnce(dests, args)
	calls := make([]Call, len(dests))
	done := make(chan *Call, len(dests))
	for i := range calls {
		calls[i] = Call{Dest: dests[i], SvcID: id, Args: args, Reply: replies[i], Done: done}
		calls[i].start(ctxs[i], c, encoded)
	}
	for range calls {
		<-done
	}
	errs := make([]error, len(dests))
	for i := range calls {
		errs[i] = calls[i].Error
	}
	return errs
}

// MultiGo starts what [Client.MultiCall] does and returns. Each call is sent
// on its own channel of dones when it is over, under the rules of
// [Client.GoContext]. The error returned is always nil.
//
// It panics unless ctxs, dests, replies and dones are of the same length, and
// as GoContext does.
func (c *Client) MultiGo(ctxs []context.Context, dests []peer.ID, svc, method string, args any, replies []any, dones []chan *Call) error {
	id := ServiceID{svc, method}
	checkMulti(id, len(ctxs), len(dests), len(replies), len(dones))
	for i := range dests { // all, before any is made
		checkReply(id, replies[i])
		checkDone(id, dones[i])
	}
	encoded := c.encodeOnce(dests, args)
	for i := range dests {
		call := &Call{Dest: dests[i], SvcID: id, Args: args, Reply: replies[i], Done: dones[i]}
		call.start(ctxs[i], c, encoded)
	}
	return nil
}

func checkMulti(id ServiceID, ctxs, dests, replies, dones int) {
	if ctxs != dests || replies != dests || dones != dests {
		panic(fmt.Sprintf("rpc: %v: %d contexts, %d destinations, %d replies and %d channels: there must be as many of each",
			id, ctxs, dests, replies, dones))
	}
}

// encodeOnce encodes args for all calls that need it encoded, before any
// method of this process can change what args points to.
func (c *Client) encodeOnce(dests []peer.ID, args any) any {
	for _, dest := range dests {
		if !c.isLocal(dest) && !isNil(args) {
			e := &call.Encoded{Value: args}
			e.Bytes, e.Err = codec.Append(nil, args, codec.Modern)
			return e
		}
	}
	return args
}

// MultiStream is [Client.Stream] to every destination at once: each gets all the
// arguments, and the replies of all go to repliesChan, which is closed when the last has
// ended. It returns when all calls are over, with their errors in the order of dests.
// It takes an argument from argsChan when every destination whose call is not over has
// taken the one before, or has room for it ([WithMultiStreamBufferSize]), or is given up
// ([WithMultiStreamStallTimeout]). Close argsChan as for Stream: while it is open and no
// call is left, one goroutine drops what is still sent.
func (c *Client) MultiStream(ctx context.Context, dests []peer.ID, svc, method string, argsChan, repliesChan any) []error {
	id := ServiceID{svc, method}
	args, replies := flow.Channels(id.String(), argsChan, repliesChan)
	caller := flow.NewEnds(args, replies, ctx.Done(), nil)
	defer caller.Finish()

	branches := make([]*branch, len(dests))
	errs := make([]error, len(dests))
	var wg sync.WaitGroup
	for i := range branches {
		b := newBranch(ctx, args.Type().Elem(), replies.Type().Elem(), c.multiBuffer)
		b.dest = dests[i]
		branches[i] = b
		wg.Go(func() {
			errs[i] = view{id: id, peer: b.dest, client: true}.render(call.Exited(call.OfClient)) // unless run returns
			errs[i] = b.run(c, b.dest, id, &caller.Dst)
		})
	}
	distributed := make(chan struct{})
	go func() {
		defer close(distributed)
		_ = flow.Pump(&caller.Src, &distributor{branches, id, c.multiStall})
		caller.Src.Drain(c.over.Done())
	}()
	wg.Wait()
	caller.Halt()
	<-distributed
	return errs
}

// branch is one destination of a MultiStream.
type branch struct {
	dest    peer.ID
	ctx     context.Context
	cancel  context.CancelCauseFunc
	args    reflect.Value // what Stream reads
	feed    flow.ChanSink // puts into args
	replies reflect.Value // what Stream writes
	over    chan struct{} // closed when Stream has returned
}

func newBranch(ctx context.Context, arg, reply reflect.Type, buffer int) *branch {
	b := &branch{args: flow.MakeChan(arg, buffer), replies: flow.MakeChan(reply, 0), over: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	b.feed.Init(b.args, b.over, b.ctx.Done())
	return b
}

// run makes the call and passes its replies on.
func (b *branch) run(c *Client, dest peer.ID, id ServiceID, to *flow.ChanSink) error {
	defer b.cancel(nil)
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		var from flow.ChanSource
		from.Init(b.replies, nil, nil)
		if err := flow.Pump(&from, passOn{to}); err != nil {
			if err != flow.ErrStopped { // or the caller's context has ended, and this one with it
				b.cancel(fail(id, b.dest, codes.FailedPrecondition, "%w", err))
			}
			from.Discard(b.over)
		}
	}()
	err := b.call(c, dest, id)
	close(b.over)
	<-passed
	if cause, own := context.Cause(b.ctx).(*Error); err != nil && own {
		return cause // it was given up
	}
	return err
}

func (b *branch) call(c *Client, dest peer.ID, id ServiceID) error {
	own := flow.NewEnds(b.args, b.replies, b.ctx.Done(), nil)
	defer own.Finish()
	return c.stream(b.ctx, dest, id, own, b.args.Type().Elem(), b.replies.Type().Elem())
}

// passOn is a sink that is shared, and so not ended by one of its users.
type passOn struct{ *flow.ChanSink }

func (passOn) End() error { return nil }

// distributor is the sink that is all branches.
type distributor struct {
	branches []*branch
	id       ServiceID
	stall    time.Duration
}

func (d *distributor) Put(it flow.Item) error {
	var late <-chan struct{}
	if d.stall > 0 {
		// One time for all: whoever is not waited for first has had it too.
		ctx, cancel := context.WithTimeout(context.Background(), d.stall)
		defer cancel()
		late = ctx.Done()
	}
	err := flow.ErrStopped
	for _, b := range d.branches {
		b.feed.LateOn(late)
		switch b.feed.Put(it) {
		case nil:
			err = nil
		case flow.ErrLate:
			b.cancel(view{id: d.id, peer: b.dest, client: true}.render(call.Fail(call.OfClient, codes.ResourceExhausted,
				"peer %v took no argument for %v", b.dest, d.stall).Named().Limited("WithMultiStreamStallTimeout")))
		}
	}
	return err
}

func (d *distributor) Flush() error { return nil }

func (d *distributor) End() error {
	for _, b := range d.branches {
		_ = b.feed.End()
	}
	return nil
}
