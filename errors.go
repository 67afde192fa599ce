package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// ErrorType is where an error of a call came from, as v0.6 tells it.
type ErrorType int

// The kinds of error. They travel with a response.
const (
	// NonRPCErr is an error that the method itself returned. One that it had
	// from another call, and returned, keeps that call's type.
	NonRPCErr ErrorType = iota
	// ServerErr is an error of the serving side before or after the method:
	// no such service or method, an argument that does not decode, a limit.
	ServerErr
	// ClientErr is an error of the calling side: no connection, a broken
	// stream, a reply that does not decode, a context that ended.
	ClientErr
	// AuthorizationErr says that the caller may not call the method.
	AuthorizationErr
)

// Code says what went wrong, in gRPC's canonical terms and numbers.
type Code uint32

// The codes, as gRPC defines them.
const (
	CodeOK                 Code = iota // no error
	CodeCanceled                       // the caller gave the call up
	CodeUnknown                        // an error that says no more than its text
	CodeInvalidArgument                // an argument is wrong, whatever the state of the callee
	CodeDeadlineExceeded               // too late
	CodeNotFound                       // what was asked for does not exist
	CodeAlreadyExists                  // what was to be made exists
	CodePermissionDenied               // the caller may not do this
	CodeResourceExhausted              // a limit is reached
	CodeFailedPrecondition             // not in the callee's present state
	CodeAborted                        // a conflict with something else under way
	CodeOutOfRange                     // beyond the valid range
	CodeUnimplemented                  // no such service or method
	CodeInternal                       // the callee is broken
	CodeUnavailable                    // the callee cannot be reached, or serves no one now
	CodeDataLoss                       // data is lost or corrupt for good
	CodeUnauthenticated                // the caller is not known
)

var codeNames = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
	"AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
	"Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss",
	"Unauthenticated",
}

func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("Code(%d)", uint32(c))
}

// Error is an error of a call that says more than its text. A method may
// return one, or wrap one, and the caller gets its code, text and details
// back, local or remote, by [errors.As]:
//
//	return &rpc.Error{Code: rpc.CodeNotFound, Message: "no such pin",
//		Details: map[string]string{"cid": c.String()}}
//
// The errors that calls end with are of this type, unless a method made them. errors.Is(err,
// context.Canceled) holds for one with [CodeCanceled], and likewise
// [context.DeadlineExceeded] for [CodeDeadlineExceeded]. A v0.6 peer sees the
// text and the [ErrorType].
type Error struct {
	// Code says what went wrong. A method's CodeOK travels as CodeUnknown.
	Code Code
	// Message is the text, for people. Over 256 KiB of it do not travel.
	Message string
	// Details are for programs, optional, and the method's own; keys that
	// begin with "rpc." are the library's. Over 256 KiB of them do not travel.
	Details map[string]string

	kind   ErrorType
	cause  error
	unsent bool
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
// False promises nothing: the request may have been served, or was refused for
// what it is (not authorized, no such method, an argument too large), and would
// be again. Of a streaming call, the arguments that were taken are lost either
// way.
func (e *Error) Unsent() bool { return e.unsent }

// Unwrap returns what caused the error in this process, if that is known. It
// never travels.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is find the context errors that the code stands for.
func (e *Error) Is(target error) bool {
	return e.Code == CodeCanceled && target == context.Canceled ||
		e.Code == CodeDeadlineExceeded && target == context.DeadlineExceeded
}

// CodeOf returns the code of err: [CodeOK] for nil, that of the [Error] in
// its chain, what the context errors stand for, and otherwise [CodeUnknown].
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return CodeOK
	case errors.As(err, &e) && e.Code != CodeOK:
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	}
	return CodeUnknown
}

// IsRPCError reports whether err came from the library rather than from a
// method: whether its type is one of the other three.
func IsRPCError(err error) bool { return typeOf(err) != NonRPCErr }

// IsServerError reports whether the serving side failed outside the method.
func IsServerError(err error) bool { return typeOf(err) == ServerErr }

// IsClientError reports whether the calling side failed.
func IsClientError(err error) bool { return typeOf(err) == ClientErr }

// IsAuthorizationError reports whether the caller was refused the method.
func IsAuthorizationError(err error) bool { return typeOf(err) == AuthorizationErr }

func typeOf(err error) ErrorType {
	var e *Error
	if errors.As(err, &e) {
		return e.kind
	}
	return NonRPCErr
}

// Response is the header of a reply, as v0.6 exports it. The library's own
// reading and writing of it is described in docs/wire.md; the type is here for
// programs that name it.
type Response struct {
	Service ServiceID
	Error   string
	ErrType ErrorType
	Data    any
}

// serverError and clientError make the library's own errors, which name what
// was called.
func serverError(c Code, id ServiceID, format string, args ...any) *Error {
	return newError(ServerErr, c, id, format, args)
}

func clientError(c Code, id ServiceID, format string, args ...any) *Error {
	return newError(ClientErr, c, id, format, args)
}

// newError formats like fmt.Errorf, %w included.
func newError(kind ErrorType, c Code, id ServiceID, format string, args []any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: c, kind: kind, Message: "rpc: " + err.Error()}
	if id != (ServiceID{}) {
		e.Message = "rpc: " + id.String() + ": " + err.Error()
	}
	if cause := errors.Unwrap(err); cause != nil {
		e.cause = cause
	}
	return e
}

// because returns e with what the codec, or another, says of it.
func (e *Error) because(err error) *Error {
	e.Message += " (" + err.Error() + ")"
	e.cause = err
	return e
}

// notSent marks the error of a call whose request has certainly not reached
// the method, for a reason that is not in the request.
func (e *Error) notSent(certain bool) *Error {
	e.unsent = certain
	return e
}

// ofMethod is the error of a call whose method, or interceptor, returned err.
// It may come from another call, whose request was not sent; this one's was.
func ofMethod(err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.unsent {
		return err
	}
	return &Error{Code: e.Code, Message: err.Error(), Details: e.Details, kind: e.kind, cause: err}
}

// contextError is the error of a call whose context has ended.
func contextError(ctx context.Context, id ServiceID) *Error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	e := clientError(CodeOf(ctx.Err()), id, "%v", err)
	e.cause = err
	return e
}

// limitError names the limit that reading or writing ran into; err is
// otherwise returned as it is.
func limitError(err error, id ServiceID, kind ErrorType, what string, l *Limits) error {
	var over *msgpack.LimitError
	switch {
	case errors.As(err, &over):
		name := [...]string{"MessageSize", "MessageValues", "MessageDepth"}[over.Limit]
		return newError(kind, CodeResourceExhausted, id,
			"%s is over the limit: %w; Limits.%s sets it", []any{what, over, name})
	case errors.Is(err, wire.ErrStalled):
		return newError(kind, CodeDeadlineExceeded, id,
			"%s: no progress for %v; Limits.ProgressTimeout sets it", []any{what, l.ProgressTimeout})
	case errors.Is(err, mux.ErrMemory), errors.Is(err, wire.ErrMemory) && !errors.Is(err, network.ErrResourceScopeClosed): // that is a stream which has ended
		return newError(kind, CodeResourceExhausted, id,
			"%s: %w by libp2p's resource manager; its limits for the service %q or the protocol set it", []any{what, err, ServiceName})
	}
	return err
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

// detailUnsent is in the error of a call that was turned away unread.
const detailUnsent = "rpc.unsent"

// withDetail adds to details that are nobody else's.
func withDetail(details map[string]string, key, value string) map[string]string {
	if details == nil {
		details = make(map[string]string)
	}
	details[key] = value
	return details
}

// toWire is the only way of an error onto the wire.
func toWire(err error) wire.Response {
	r := wire.Response{Code: -1}
	if err == nil {
		return r
	}
	var e *Error
	if errors.As(err, &e) {
		r.ErrType, r.Details = int(e.kind), e.Details
		if _, of := e.Details[detailUnsent]; of || e.unsent {
			r.Details = maps.Clone(e.Details)
			delete(r.Details, detailUnsent) // of whoever set it, this is not for them to say
		}
	}
	if r.Error = err.Error(); r.Error == "" {
		r.Error = CodeOf(err).String() // an empty text would be no error
	}
	if len(r.Error) > maxErrorText {
		r.Error = strings.ToValidUTF8(r.Error[:maxErrorText], "") + " (truncated)"
	}
	if size := msgpack.StringMapSize(r.Details); size > maxErrorText {
		r.Details = map[string]string{"rpc.details": fmt.Sprintf("left out: %d bytes, and %d may be", size, maxErrorText)}
	}
	if e != nil && e.unsent {
		r.Details = withDetail(r.Details, detailUnsent, "true")
	}
	if code := CodeOf(err); code != impliedCode(ErrorType(r.ErrType), r.Error) {
		r.Code = int(code)
	}
	return r
}

// fromWire is the only way of an error off the wire.
func fromWire(r wire.Response) error {
	if r.Error == "" {
		return nil
	}
	e := &Error{Code: Code(r.Code), Message: r.Error, Details: maps.Clone(r.Details), kind: ErrorType(r.ErrType)}
	_, e.unsent = e.Details[detailUnsent]
	if delete(e.Details, detailUnsent); len(e.Details) == 0 {
		e.Details = nil
	}
	if e.kind < NonRPCErr || e.kind > AuthorizationErr {
		e.kind = ServerErr
	}
	if r.Code <= 0 {
		e.Code = impliedCode(e.kind, e.Message)
	}
	return e
}

// impliedCode is the code of an error that travels without one: all that a
// v0.6 peer tells. The texts are v0.6's, and Go's.
func impliedCode(kind ErrorType, text string) Code {
	switch kind {
	case AuthorizationErr:
		return CodePermissionDenied
	case ServerErr:
		switch {
		case strings.HasPrefix(text, "rpc: can't find "):
			return CodeUnimplemented
		case strings.HasPrefix(text, "msgpack decode error"):
			return CodeInvalidArgument
		}
		return CodeInternal
	}
	switch text {
	case context.Canceled.Error():
		return CodeCanceled
	case context.DeadlineExceeded.Error():
		return CodeDeadlineExceeded
	}
	return CodeUnknown
}
