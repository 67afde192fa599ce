package rpc

import (
	"context"

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

// invokeStreaming runs the method between two pumps, which have ended when it
// returns.
func (s *Server) invokeStreaming(ctx context.Context, call *CallInfo) error {
	if call.conn != nil {
		call.conn.unread.begin()
	}
	parent := ctx
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	returned := make(chan struct{})
	own := call.method.ends(ctx, call, s.streamBuffer, returned)
	if call.Local {
		own.record(call.stats)
	}

	received, sent := make(chan error, 1), make(chan error, 1)
	lost := false // the caller's end, while the method had not ended; known when received
	go func() {
		err := pump(call.stream.in, call.patiently(own.args()))
		if err != nil {
			lost = call.conn != nil && err != errStopped && !isClosed(returned)
			if isCallError(err) {
				call.await(ctx, own.refused(err), returned)
			}
			call.stopWriting(err, returned)
			call.callerLeft(parent, ctx, cancel, err) // before the method sees its arguments end
		}
		own.noMore(err)
		if err == nil && call.conn != nil {
			if err = call.conn.watchStream(returned); err != nil {
				call.stopWriting(err, returned)
				call.callerLeft(parent, ctx, cancel, err)
			}
		}
		received <- err
	}()
	go func() {
		err := pump(own.replies(), call.stream.out)
		if err != nil {
			// The call is over; the method learns it by its context, and by
			// the end of its arguments.
			call.callerLeft(parent, ctx, cancel, err)
			if call.conn != nil && isCallError(err) {
				_ = call.conn.respond(call, err)
			}
			call.stream.in.halt()
			own.discard(returned)
		}
		sent <- err
	}()

	goesOn := false
	defer func() {
		if !goesOn { // the method has ended its goroutine, and the call is whoever's next
			cancel(nil)
			own.halt()
			call.stream.in.halt()
			<-sent
			<-received
		}
	}()
	err := s.recovered(func(ctx context.Context, _ *CallInfo) error {
		defer close(returned)
		return own.run(ctx)
	})(ctx, call)
	goesOn = true
	sendErr := <-sent
	own.halt()
	call.stream.in.halt()
	// An argument that could not be taken explains what the method made of
	// its channel's end.
	receiveErr := <-received
	switch {
	case isCallError(receiveErr):
		return receiveErr
	case err != nil:
		return err
	case lost && sendErr == nil:
		// What the method made of it is no success: the caller, if it can hear
		// anything, must not take the end of the stream for one.
		return serverError(CodeUnavailable, call.ID(), "the arguments broke off: %w", receiveErr)
	}
	return sendErr
}

// stopWriting ends the sending of replies to a caller that is gone: nobody
// takes them. A method that has returned has ended the reading itself.
func (call *CallInfo) stopWriting(err error, returned <-chan struct{}) {
	if err == errStopped { // the context has ended, and the caller is told
		return
	}
	if call.conn != nil && call.conn.marked && !call.conn.stopped.Load() && !isCallError(err) && !isClosed(returned) {
		_ = call.conn.st.SetWriteDeadline(wire.Past)
	}
}

// callerLeft ends the context of a method whose caller is gone: if its parent
// has ended, with that error.
func (call *CallInfo) callerLeft(parent, ctx context.Context, cancel context.CancelCauseFunc, err error) {
	if call.conn != nil {
		call.conn.awaitDeadline(err)
	}
	if parent.Err() == nil {
		cancel(err)
	}
	<-ctx.Done()
}
