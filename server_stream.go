package rpc

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// methodEnds are a streaming method's own ends of its call: nobody else's can
// be closed twice by it, and it never waits for a caller that is gone.
type methodEnds interface {
	recording
	args() lateSink
	replies() source
	// run runs the method. Nothing more is replied when it has returned.
	run(ctx context.Context) error
	// refused makes the method see, after the arguments that are there, why the
	// next cannot be taken. The channel is closed when it has.
	refused(err error) <-chan struct{}
	// noMore ends the arguments, well with a nil err.
	noMore(err error)
	// halt makes every wait of the two ends end at once.
	halt()
	// discard takes replies for which there is nobody, until returned.
	discard(returned <-chan struct{})
}

// streamRun is one run of a streaming method, between two pumps.
type streamRun struct {
	call        *CallInfo
	own         methodEnds
	parent, ctx context.Context // the call's, and the method's
	cancel      context.CancelCauseFunc
	returned    chan struct{} // closed when the method has

	received, sent chan error // what the pumps have ended with
	lost           bool       // the caller's end, while the method had not ended; known when received
}

// invokeStreaming runs the method between two pumps, which have ended when it
// returns.
func (s *Server) invokeStreaming(parent context.Context, call *CallInfo) error {
	if call.conn != nil {
		call.conn.unread.begin()
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	returned := make(chan struct{})
	r := &streamRun{
		call: call, own: call.method.ends(ctx, call, s.streamBuffer, returned),
		parent: parent, ctx: ctx, cancel: cancel, returned: returned,
		received: make(chan error, 1), sent: make(chan error, 1),
	}
	if call.Local {
		r.own.record(call.stats)
	}
	go func() { r.received <- r.takeArguments() }()
	go func() { r.sent <- r.sendReplies() }()

	goesOn := false
	defer func() {
		if !goesOn { // the method has ended its goroutine, and the call is whoever's next
			cancel(nil)
			r.halt()
			<-r.sent
			<-r.received
		}
	}()
	err := s.recovered(func(ctx context.Context, _ *CallInfo) error {
		defer close(returned)
		return r.own.run(ctx)
	})(ctx, call)
	goesOn = true
	return r.end(err)
}

// takeArguments hands the arguments to the method, and watches for the caller
// when it has them all.
func (r *streamRun) takeArguments() error {
	call := r.call
	err := pump(call.stream.in, call.patiently(r.own.args()))
	if err != nil {
		r.lost = call.conn != nil && err != errStopped && !isClosed(r.returned)
		if isCallError(err) {
			call.await(r.ctx, r.own.refused(err), r.returned)
		}
		r.stopWriting(err)
		r.callerLeft(err) // before the method sees its arguments end
	}
	r.own.noMore(err)
	if err == nil && call.conn != nil {
		if err = call.conn.watchStream(r.returned); err != nil {
			r.stopWriting(err)
			r.callerLeft(err)
		}
	}
	return err
}

// sendReplies sends what the method replies, and takes the rest of it where it
// cannot be sent.
func (r *streamRun) sendReplies() error {
	call := r.call
	err := pump(r.own.replies(), call.stream.out)
	if err != nil {
		// The call is over; the method learns it by its context, and by
		// the end of its arguments.
		r.callerLeft(err)
		if call.conn != nil && isCallError(err) {
			_ = call.conn.respond(call, err)
		}
		call.stream.in.halt()
		r.own.discard(r.returned)
	}
	return err
}

// end waits for the pumps of a method that has returned err, and returns the
// error of the call.
func (r *streamRun) end(err error) error {
	sendErr := <-r.sent
	r.halt() // only now: all replies were to be sent
	// An argument that could not be taken explains what the method made of
	// its channel's end.
	receiveErr := <-r.received
	switch {
	case isCallError(receiveErr):
		return receiveErr
	case err != nil:
		return err
	case r.lost && r.parent.Err() == nil && (sendErr == nil || sendErr == errStopped):
		// What the method made of it is no success: the caller, if it can hear
		// anything, must not take the end of the stream for one.
		code := CodeUnavailable
		if isReset(receiveErr) { // by the caller, who has given up
			code = CodeCanceled
		}
		return serverError(code, r.call.ID(), "the arguments broke off: %w", receiveErr)
	case sendErr == errStopped && r.ctx.Err() != nil:
		// Whoever still listens is to know why the replies have stopped.
		e := contextError(r.ctx, r.call.ID())
		if !r.call.Local {
			e.kind = ServerErr
		}
		return e
	}
	return sendErr
}

// isReset reports whether the peer has reset the stream.
func isReset(err error) bool {
	var reset *network.StreamError
	return errors.As(err, &reset) && reset.Remote
}

// halt ends every wait of the method's ends, and the taking of arguments.
func (r *streamRun) halt() {
	r.own.halt()
	r.call.stream.in.halt()
}

// stopWriting ends the sending of replies to a caller that is gone: nobody
// takes them. A method that has returned has ended the reading itself.
func (r *streamRun) stopWriting(err error) {
	if err == errStopped { // the context has ended, and the caller is told
		return
	}
	c := r.call.conn
	if c != nil && c.marked && !c.stopped.Load() && !isCallError(err) && !isClosed(r.returned) {
		_ = c.st.SetWriteDeadline(wire.Past)
	}
}

// callerLeft ends the context of a method whose caller is gone: if its parent
// has ended, with that error. Of a method that has returned, err says nothing.
func (r *streamRun) callerLeft(err error) {
	if r.call.conn != nil {
		r.call.conn.awaitDeadline(err)
	}
	if isClosed(r.returned) {
		err = nil
	}
	if r.parent.Err() == nil {
		r.cancel(err)
	}
	<-r.ctx.Done()
}
