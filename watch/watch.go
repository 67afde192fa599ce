// Package watch is for server streams that stay open: a method that sends what happens
// until its caller has gone, and a caller that wants to hear of it for as long as it runs.
//
// A method knows by [Stopping] that its server shuts down, and decides by a [Queue] what
// becomes of a receiver that is too slow. A caller's [Keep] opens the stream again when
// it has broken off.
package watch

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v5"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Stopping returns a channel that is closed when the server of the method whose context
// ctx is shuts down ([rpc.Server.Shutdown]) or is closed. The method is to return then:
// it may send a last item before, and its error should be [ErrStopping]. Of a context
// that is no method's it is nil, and so never closed.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(call.StoppingKey{}).(<-chan struct{})
	return stopping
}

// ErrStopping is the error of a method that has returned because its server shuts down.
// Callers get its code, [codes.Unavailable], and its text.
var ErrStopping error = rpc.Errorf(codes.Unavailable, "the server is shutting down")

// Interrupted is the error between two streams of a [Keep]: what happened meanwhile is
// lost, unless the method is asked for it.
type Interrupted struct{ Err error }

// Error says with which error the stream has ended.
func (i *Interrupted) Error() string { return "the watch was interrupted: " + i.Err.Error() }

// Unwrap returns the error with which the stream has ended; one without a code if it
// ended well.
func (i *Interrupted) Unwrap() error { return i.Err }

// The pauses before a stream is opened again.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second
)

// errEnded stands for the error of a stream that has ended well.
var errEnded = errors.New("the method has ended it")

// Keep yields the items of the stream that open returns, and of another whenever one has
// ended, until ctx ends. In between it yields an [*Interrupted] with a zero item, at
// once, and pauses: 100 ms at first, twice as long each time up to 10 s, at random
// around that, and 100 ms again when items have come. An error that would be the same
// the next time (codes InvalidArgument, Unimplemented, PermissionDenied,
// Unauthenticated, FailedPrecondition, or that the client was closed) ends the loop, as
// the last that is yielded, and so does that of ctx. That a peer does not serve the
// protocol is an interruption: so it is between a server's end and the next one's start.
// open is called by the loop's goroutine, with ctx.
func Keep[T any](ctx context.Context, open func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		pauses := call.Backoff(firstPause, mostPause)
		for {
			ended, left := follow(open(ctx), yield, pauses)
			var none T
			switch {
			case left:
				return
			case ctx.Err() != nil:
				yield(none, ctx.Err())
				return
			case lasts(ended):
				yield(none, ended)
				return
			case !yield(none, &Interrupted{ended}):
				return
			}
			pause := time.NewTimer(pauses.NextBackOff())
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				yield(none, ctx.Err())
				return
			}
		}
	}
}

// follow yields the items of one stream. It returns what the stream has ended with, or
// that the program has left the loop.
func follow[T any](items iter.Seq2[T, error], yield func(T, error) bool, pauses *backoff.ExponentialBackOff) (ended error, left bool) {
	for v, err := range items {
		if err != nil {
			return err, false
		}
		pauses.Reset()
		if !yield(v, nil) {
			return nil, true
		}
	}
	return errEnded, false
}

// lasts reports whether err would be the same the next time.
func lasts(err error) bool {
	switch rpc.CodeOf(err) {
	case codes.Unimplemented: // unless no server has seen the call
		var e *rpc.Error
		return !errors.As(err, &e) || !e.Unsent()
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition:
		return true
	}
	return errors.Is(err, call.ErrClientClosed)
}
