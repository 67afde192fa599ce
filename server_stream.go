package rpc

import (
	"context"
	"errors"
	"reflect"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// methodEnds are a streaming method's own ends of its call: nobody else's can
// be closed twice by it, and it never waits for a caller that is gone.
type methodEnds interface {
	observe(flow.Observer)
	args() flow.LateSink
	replies() flow.Source
	// run runs the method. Nothing more is replied when it has returned.
	run(ctx context.Context) error
	// refused makes the method see, after the arguments that are there, why the
	// next cannot be taken. The channel is closed when it has.
	refused(err error) <-chan struct{}
	// noMore ends the arguments, well with a nil err.
	noMore(err error)
	// halt makes every wait of the two ends end at once.
	Halt()
	// discard takes replies for which there is nobody, until returned.
	discard(returned <-chan struct{})
}

// streamRun is one run of a streaming method, between two pumps.
type streamRun struct {
	server      *Server
	call        *servedCall
	own         methodEnds
	first       *flow.Item      // of the arguments, if it was taken already
	setting     *call.Setting   // of the metadata that goes back
	parent, ctx context.Context // the call's, and the method's
	cancel      context.CancelCauseFunc
	returned    chan struct{} // closed when the method has

	received, sent chan error // what the pumps have ended with
	lost           bool       // the caller's end, while the method had not ended; known when received
}

// invokeStreaming runs a streaming method, without pumps where that is possible.
func (s *Server) invokeStreaming(ctx context.Context, c *servedCall) error {
	c.stream.Begin()
	d, ok := c.stream.(call.Direct)
	if !ok || c.method.direct == nil {
		return s.invokePumped(ctx, c, nil)
	}
	c.source, c.sink = d.Ends(c.items(c.method.fresh))
	c.hook(s)
	first, only, err := d.Only(c.source)
	switch {
	case err != nil:
		return err
	case only:
		return s.invokeDirect(ctx, c, d, first)
	case first.Ptr == nil:
		return s.invokePumped(ctx, c, nil)
	}
	return s.invokePumped(ctx, c, &first)
}

// hook puts the hooks of interceptors before the ends of a stream.
func (c *servedCall) hook(s *Server) {
	if len(c.CallInfo.items) > 0 {
		hooks := c.hooks(s.recovered)
		c.source, c.sink = hooks.Source(c.source, false), hooks.Sink(c.sink, true)
	}
}

// invokePumped runs the method between two pumps, which have ended when it returns.
// first is an argument that was taken already, if it is not nil.
func (s *Server) invokePumped(parent context.Context, c *servedCall, first *flow.Item) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	returned := make(chan struct{})
	r := &streamRun{
		server: s, call: c, own: c.method.ends(ctx, c, s.streamBuffer, returned),
		first: first, parent: parent, ctx: ctx, cancel: cancel, returned: returned, setting: new(call.Setting),
		received: make(chan error, 1), sent: make(chan error, 1),
	}
	c.source, c.sink = c.stream.Ends(c.items(r.own.args().Fresh))
	if c.stats != nil && c.Local {
		r.own.observe(c.stats)
	}
	c.hook(s)
	if m := servedOf(parent); m != nil { // or an interceptor has replaced the context
		r.setting = m.setting()
	}
	r.setting.Begin(c.sendHeader, c.asked())
	go call.Outcome(call.OfServer, r.takeArguments, func(err error) { r.received <- r.noArguments(err) })
	go call.Outcome(call.OfServer, r.sendReplies, func(err error) { r.sent <- r.noReplies(err) })

	goesOn := false
	defer func() {
		if !goesOn { // the method has ended its goroutine, and the call is whoever's next
			cancel(nil)
			r.Halt()
			<-r.sent
			<-r.received
		}
	}()
	err := s.recovered(func(ctx context.Context, _ *CallInfo) error {
		defer close(returned)
		return r.own.run(ctx)
	})(ctx, &c.CallInfo)
	goesOn = true
	return r.end(err)
}

// items tells the carrier of the method, whose arguments fresh makes. In a local call the
// method's own ends tell the stats handler.
func (c *servedCall) items(fresh func() flow.Item) *call.Items {
	m := c.method
	i := &call.Items{Limits: m.rules.Limits, Fresh: fresh, OK: m.ok}
	i.Undecodable = func(b []byte, err error) *call.Fault { return call.ArgumentFault(m.arg, m.rules.Limits, b, err) }
	if c.remote != nil {
		i.Holds = &c.remote.holds
	}
	if c.stats != nil && !c.Local {
		i.Observer = c.stats
	}
	return i
}

// takeArguments hands the arguments to the method.
func (r *streamRun) takeArguments() error {
	args := r.call.stream.Patient(r.own.args())
	if r.first != nil {
		if err := args.Put(*r.first); err != nil {
			return err
		}
	}
	return flow.Pump(r.call.source, args)
}

// noArguments tells the method that there are no more, with a nil err because it has
// them all, and watches for the caller then.
func (r *streamRun) noArguments(err error) error {
	stream := r.call.stream
	if err != nil {
		r.lost = err != flow.ErrStopped && !flow.IsClosed(r.returned)
		if call.IsFault(err) {
			stream.Await(r.ctx, r.own.refused(rendered(r.call.ID(), err)), r.returned)
		}
		r.stopWriting(err)
		r.callerLeft(err) // before the method sees its arguments end
	}
	r.own.noMore(err)
	if err == nil {
		if err = stream.Gone(r.returned); err != nil {
			r.stopWriting(err)
			r.callerLeft(err)
		}
	}
	return err
}

// sendReplies sends what the method replies.
func (r *streamRun) sendReplies() error {
	return flow.PumpAfter(r.own.replies(), r.call.sink, r.setting.Release)
}

// noReplies takes the rest of the replies if they cannot be sent.
func (r *streamRun) noReplies(err error) error {
	if err != nil {
		// The call is over; the method learns it by its context, and by
		// the end of its arguments.
		r.callerLeft(err)
		if call.IsFault(err) {
			_ = r.server.respond(r.call, err)
		}
		r.call.source.Halt()
		r.own.discard(r.returned)
	}
	return err
}

// end waits for the pumps of a method that has returned err, and returns the
// error of the call.
func (r *streamRun) end(err error) error {
	sendErr := <-r.sent
	r.Halt() // only now: all replies were to be sent
	// An argument that could not be taken explains what the method made of
	// its channel's end.
	receiveErr := <-r.received
	switch {
	case call.IsFault(receiveErr):
		return receiveErr
	case call.IsFault(sendErr): // the caller has it, instead of what the method made of it
		return sendErr
	case err != nil:
		return err
	case r.lost && r.parent.Err() == nil && (sendErr == nil || sendErr == flow.ErrStopped):
		// What the method made of it is no success: the caller, if it can hear
		// anything, must not take the end of the stream for one.
		code := codes.Unavailable
		if isReset(receiveErr) { // by the caller, who has given up
			code = codes.Canceled
		}
		return call.Fail(call.OfServer, code, "the arguments broke off: %w", receiveErr)
	case sendErr == flow.ErrStopped && r.ctx.Err() != nil:
		// Whoever still listens is to know why the replies have stopped.
		f := call.Ended(r.ctx)
		if !r.call.Local {
			f.Origin = call.OfServer
		}
		return f
	}
	return sendErr
}

// isReset reports whether the peer has reset the stream.
func isReset(err error) bool {
	var reset *network.StreamError
	return errors.As(err, &reset) && reset.Remote
}

// halt ends every wait of the method's ends, and the taking of arguments.
func (r *streamRun) Halt() {
	r.own.Halt()
	r.call.source.Halt()
}

// stopWriting ends the sending of replies to a caller that is gone: nobody
// takes them. A method that has returned has ended the reading itself.
func (r *streamRun) stopWriting(err error) {
	if err == flow.ErrStopped { // the context has ended, and the caller is told
		return
	}
	if !call.IsFault(err) && !flow.IsClosed(r.returned) {
		r.call.stream.StopWriting()
	}
}

// callerLeft ends the context of a method whose caller is gone: if its parent
// has ended, with that error. Of a method that has returned, err says nothing.
func (r *streamRun) callerLeft(err error) {
	r.call.stream.AwaitDeadline(r.parent, err)
	if flow.IsClosed(r.returned) {
		err = nil
	}
	if r.parent.Err() == nil {
		r.cancel(err)
	}
	<-r.ctx.Done()
}

// channelMethod is the ends of a method that has channels.
type channelMethod struct {
	*flow.Ends
	method  *method
	in, out reflect.Value
}

// ends makes the two channels of a streaming method, or what is in their place.
func (m *method) ends(ctx context.Context, call *servedCall, buffer int, returned <-chan struct{}) methodEnds {
	if m.stream != nil {
		return m.stream(ctx, call, buffer)
	}
	in, out := flow.MakeChan(m.arg, buffer), flow.MakeChan(m.reply, buffer)
	e := flow.NewEnds(out, in, ctx.Done(), returned)
	if buffer > 0 && !call.Local {
		e.Dst.Holds = &call.remote.holds
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
