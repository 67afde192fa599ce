package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

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
	if err == nil {
		return nil // without the allocation
	}
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
			"%s is over the limit: %w; Limits.%s sets it", []any{what, over, name}).over("Limits." + name)
	case errors.Is(err, wire.ErrStalled):
		return newError(kind, CodeDeadlineExceeded, id,
			"%s: no progress for %v; Limits.ProgressTimeout sets it", []any{what, l.ProgressTimeout}).over("Limits.ProgressTimeout")
	case isRefusedMemory(err):
		return newError(kind, CodeResourceExhausted, id,
			"%s: %w by libp2p's resource manager; %s", []any{what, err, limitOfScope(err.Error())}).over(limitOfLibp2p)
	case errors.Is(err, msgpack.ErrInvalid):
		code := CodeInternal // a server that writes no msgpack
		if kind == ServerErr {
			code = CodeInvalidArgument
		}
		return newError(kind, code, id, "%s: %w", []any{what, err})
	}
	return err
}

// isRefusedMemory reports whether libp2p's resource manager has no memory left.
// Of a stream that has ended it says that too.
func isRefusedMemory(err error) bool {
	return (errors.Is(err, mux.ErrMemory) || errors.Is(err, wire.ErrMemory)) && !errors.Is(err, network.ErrResourceScopeClosed)
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

// named puts peer, service and method into the text of an error of the
// library's that lacks them: what a server says of itself, and v0.6's words,
// which stay as they are at the beginning. What a method returned is not
// touched.
func (call *CallInfo) named(err error) error {
	if e, own := err.(*Error); own {
		return e.named(call.ID(), call.Peer)
	}
	return err
}

// named is [CallInfo.named] of an error of the library's.
func (e *Error) named(method ServiceID, callee peer.ID) *Error {
	if e.kind == NonRPCErr || namesPeer(e.Message) {
		return e
	}
	id, p := method.String(), "peer "+callee.String()
	if callee == "" { // there is no host
		if e.kind == ClientErr || strings.Contains(e.Message, id) {
			return e
		}
		named := *e
		named.Message += " (" + id + ")"
		return &named
	}
	named := *e
	if rest, ok := strings.CutPrefix(e.Message, "rpc: "+id+": "); ok {
		named.Message = "rpc: " + id + ": " + p + ": " + rest
		return &named
	}
	if e.kind == ClientErr {
		return e // of a call that the method made
	}
	if !strings.Contains(e.Message, id) {
		p = id + ", " + p
	}
	named.Message += " (" + p + ")"
	return &named
}

// namesPeer reports whether a text names a peer, as those do that have been
// named, by this peer or another that passed them on.
func namesPeer(text string) bool {
	const (
		most    = 4 << 10 // of the text
		longest = 128     // an ID as text
	)
	text = text[:min(len(text), most)]
	for {
		_, rest, ok := strings.Cut(text, "peer ")
		if !ok {
			return false
		}
		word := rest[:min(len(rest), longest)]
		if i := strings.IndexAny(word, " :;,()"); i >= 0 {
			word = word[:i]
		}
		if _, err := peer.Decode(word); err == nil {
			return true
		}
		text = rest
	}
}
