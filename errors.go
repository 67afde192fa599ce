package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// ErrorType is where an error of a call came from, as v0.6 tells it.
type ErrorType int

// The kinds of error. They travel with a response.
const (
	// NonRPCErr is an error that the method itself returned. One that it had
	// from another call, and returned, keeps that call's type. So is that of a
	// call by name whose context has ended, as in v0.6.
	NonRPCErr ErrorType = iota
	// ServerErr is an error of the serving side before or after the method:
	// no such service or method, an argument that does not decode, a limit.
	ServerErr
	// ClientErr is an error of the calling side: no connection, a broken
	// stream, a reply that does not decode, the context of a typed call that ended.
	ClientErr
	// AuthorizationErr says that the caller may not call the method.
	AuthorizationErr
)

// Error is an error of a call that says more than its text. A method may
// return one, or wrap one, and the caller gets its code, text and details
// back, local or remote, by [errors.As]:
//
//	return &rpc.Error{Code: codes.NotFound, Message: "no such pin",
//		Details: map[string]string{"cid": c.String()}}
//
// The errors that calls end with are of this type, unless a method made them.
// Those name peer, service and method, and errors.As finds a [DialError], a
// [TransportError] or a [LimitError] in them where that is what failed; see
// docs/errors.md. errors.Is(err, context.Canceled) holds for one with
// [codes.Canceled], and likewise [context.DeadlineExceeded] for
// [codes.DeadlineExceeded], but for a limit's. A v0.6 peer sees the text and the
// [ErrorType].
type Error struct {
	// Code says what went wrong. A method's codes.OK travels as codes.Unknown.
	Code codes.Code
	// Message is the text, for people. Over 256 KiB of it do not travel.
	Message string
	// Details are for programs, optional, and the method's own; keys that
	// begin with "rpc." are the library's, but "rpc.retry-after" ([Error.RetryAfter])
	// is for both. Over 256 KiB of them do not travel.
	Details map[string]string

	kind   ErrorType
	cause  error
	unsent bool
	local  bool   // the cause, and all that it knows, does not travel
	names  string // of declared errors, as they came

	ended   error       // of a call by name: what its context, which has ended, says
	byLimit bool        // codes.DeadlineExceeded says that a limit has passed, not a deadline
	fault   *call.Fault // of this process or its server, which the client is still to render
}

// Errorf returns an [*Error] with a code, whose message is formatted as by
// [fmt.Errorf]. An error that is given for a %w, of which there may be several, is a
// local cause: errors.Is and errors.As find it in this process, in a local call at
// the caller too. To another peer only its text travels, as a part of the message,
// and its name, if [CallErrors] gives it one: nothing else that it says of itself,
// such as its code, details or limit.
func Errorf(code codes.Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error(), local: true}
	switch w := err.(type) {
	case interface{ Unwrap() []error }:
		e.cause = err // which is found by no other way
	case interface{ Unwrap() error }:
		e.cause = w.Unwrap()
	}
	return e
}

// Error returns the message, or the code where there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// Type returns where the error came from.
func (e *Error) Type() ErrorType { return e.kind }

// Unsent reports whether the request has certainly not reached the method, and
// may if it is sent again: there was no connection or no stream, the session
// ended before the request left, or the server turned the call away because it
// is shutting down or has as many calls as it takes. Sending it again, there or
// elsewhere, does nothing twice.
//
// Where the server has turned the call away it is the server's word, which a
// hostile one may break.
//
// False promises nothing: the request may have been served, or was refused for
// what it is (not authorized, no such method, an argument too large), and would
// be again. Of a streaming call, the arguments that were taken are lost either
// way.
func (e *Error) Unsent() bool { return e.unsent }

// RetryAfter returns how long to wait before the call is made again, as whoever has
// refused it says ([MethodConfig].Rate), or a method: in Details, under
// "rpc.retry-after", as [time.ParseDuration] reads it. 0: nobody says. [CallRetry]
// heeds it.
func (e *Error) RetryAfter() time.Duration {
	d, err := time.ParseDuration(e.Details[detailWait])
	if err != nil {
		return 0
	}
	return max(d, 0)
}

// Unwrap returns what caused the error in this process, if that is known. It
// never travels.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is find the context errors that the code stands for.
func (e *Error) Is(target error) bool {
	return e.Code == codes.Canceled && target == context.Canceled ||
		e.Code == codes.DeadlineExceeded && !e.byLimit && target == context.DeadlineExceeded
}

// CodeOf returns the code of err: [codes.OK] for nil, that of the [Error] in
// its chain, what the context errors stand for, and otherwise [codes.Unknown].
func CodeOf(err error) codes.Code {
	if err == nil {
		return codes.OK // without the allocation
	}
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code != codes.OK:
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return codes.Unknown
}

func typeOf(err error) ErrorType {
	var e *Error
	if errors.As(err, &e) {
		return e.kind
	}
	return NonRPCErr
}

// The types below are causes: [errors.As] finds one in an [Error] that the
// library made, and so tells what kind of thing failed where the code alone
// does not. Of the other kinds, [IsAuthorizationError] tells a refusal, and an
// error for which [IsRPCError] is false is the method's.

// DialError says that there was no connection or stream to the peer: the
// request was not sent ([Error.Unsent]).
type DialError struct {
	Peer peer.ID
	Err  error // what libp2p, or the context, said
}

// Error describes it.
func (e *DialError) Error() string { return fmt.Sprintf("no stream to peer %v: %v", e.Peer, e.Err) }

// Unwrap returns Err.
func (e *DialError) Unwrap() error { return e.Err }

// TransportError says that the stream or the session broke, or that the peer
// fell silent, before the reply was there. The request may have been served,
// unless [Error.Unsent] says otherwise.
type TransportError struct {
	Peer peer.ID
	Err  error // what the stream said; nil if the peer is silent
}

// Error describes it.
func (e *TransportError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("peer %v is silent", e.Peer)
	}
	return fmt.Sprintf("the stream to peer %v broke: %v", e.Peer, e.Err)
}

// Unwrap returns Err.
func (e *TransportError) Unwrap() error { return e.Err }

// LimitError says that a limit was reached, on this side or, for an error of
// type [ServerErr], on the server's.
type LimitError struct {
	// Limit names what sets it: a field, as "Limits.MessageSize", an option of
	// the package, or "libp2p", for its resource manager.
	Limit string
	Err   error // more about it, if there is more in this process
}

// Error describes it.
func (e *LimitError) Error() string { return "over the limit that " + e.Limit + " sets" }

// Unwrap returns Err.
func (e *LimitError) Unwrap() error { return e.Err }

// contextEndedError is the error of a call by name whose context has ended: its
// text and its type are v0.6's, and what it wraps says more.
type contextEndedError struct{ err *Error }

func (e *contextEndedError) Error() string { return e.err.ended.Error() }
func (e *contextEndedError) Unwrap() error { return e.err }

// plainContextError returns the error that a call by name ends with, made of err.
func plainContextError(err error) error {
	e, own := err.(*Error)
	if !own || e.ended == nil {
		return err
	}
	said := *e
	said.kind = NonRPCErr
	return &contextEndedError{&said}
}

// ofMethod is the error of a call whose method, or interceptor, returned err.
// It may come from another call, whose request was not sent; this one's was.
func ofMethod(err error) error {
	if err == nil {
		return nil // without the allocation
	}
	var e *Error
	if !errors.As(err, &e) || !e.unsent {
		return err
	}
	return &Error{Code: e.Code, Message: err.Error(), Details: e.Details, kind: e.kind, cause: err, ended: e.ended, byLimit: e.byLimit}
}

// sound returns err, a method's or an interceptor's, and does before with it
// what is done later, where nothing recovers: it has methods of its own, which
// may panic, as many do of a nil pointer that is returned as an error.
func sound(err error) error {
	if _, own := err.(*Error); err != nil && !own {
		_, _, _ = err.Error(), typeOf(err), CodeOf(err)
	}
	return err
}

// ended is the error of a call that was carried. Whoever serves the call has the
// same deadline, and may be quicker to say so.
func (c *clientCall) ended(ctx context.Context, err error) error {
	told := c.told(err)
	if f, own := err.(*call.Fault); own && f.Ended != nil {
		return told
	}
	switch code := CodeOf(told); code {
	case codes.Canceled, codes.DeadlineExceeded:
		if call.HasEnded(ctx) && CodeOf(ctx.Err()) == code {
			return c.told(call.Ended(ctx))
		}
	}
	return told
}
