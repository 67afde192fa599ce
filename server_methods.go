package rpc

import (
	"context"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// channelMethod is the ends of a method that has channels.
type channelMethod struct {
	*flow.Ends
	method  *method
	in, out reflect.Value
}

// ends makes the two channels of a streaming method, or what is in their place.
func (m *method) ends(ctx context.Context, call *CallInfo, buffer int, returned <-chan struct{}) methodEnds {
	if m.stream != nil {
		return m.stream(ctx, call, buffer)
	}
	in, out := flow.MakeChan(m.arg, buffer), flow.MakeChan(m.reply, buffer)
	e := flow.NewEnds(out, in, ctx.Done(), returned)
	if buffer > 0 && !call.Local {
		e.Dst.Holds = call.remote.holding()
	}
	return &channelMethod{e, m, in, out}
}

func (c *channelMethod) args() flow.LateSink  { return &c.Dst }
func (c *channelMethod) replies() flow.Source { return &c.Src }

func (c *channelMethod) observe(o flow.Observer) {
	c.Src.Observe(o)
	c.Dst.Observe(o)
}

func (c *channelMethod) run(ctx context.Context) error {
	return noTypedNil(c.method.fn.CallValues(ctx, c.in, c.out))
}

// refused can tell the method nothing, until its context has ended.
func (c *channelMethod) refused(error) <-chan struct{} { return closedChan }

var closedChan = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c *channelMethod) noMore(error) { _ = c.Dst.End() }

func (c *channelMethod) discard(returned <-chan struct{}) { c.Src.Discard(returned) }
