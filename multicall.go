package rpc

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/many"
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

	branches := make([]*many.Channels, len(dests))
	errs := make([]error, len(dests))
	var wg sync.WaitGroup
	for i := range branches {
		branches[i] = many.NewChannels(ctx, dests[i], args.Type().Elem(), replies.Type().Elem(), c.multiBuffer)
		wg.Go(func() {
			v := view{id: id, peer: dests[i], client: true, typed: true}
			errs[i] = v.render(call.Exited(call.OfClient)) // unless Run returns
			err := branches[i].Run(&caller.Dst, func(ctx context.Context, own *flow.Ends, arg, reply reflect.Type) error {
				return c.stream(ctx, dests[i], id, own, arg, reply)
			})
			if f, given := err.(*call.Fault); given {
				err = v.render(f)
			}
			errs[i] = err
		})
	}
	distributed := make(chan struct{})
	go func() {
		defer close(distributed)
		_ = flow.Pump(&caller.Src, &many.Distributor{To: branches, Stall: c.multiStall})
		caller.Src.Drain(c.over.Done(), &c.tally.Draining)
	}()
	wg.Wait()
	caller.Halt()
	<-distributed
	return errs
}
