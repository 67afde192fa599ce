package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// What the library says of an error, in its Details. It is not in those that a
// caller sees.
const (
	detailUnsent = "rpc.unsent" // the call was turned away unread
	detailLimit  = "rpc.limit"  // the Limit of a LimitError
	detailErrors = "rpc.errors" // the names of the declared errors that it is, with commas between them
)

// ownDetails returns the details that a method may have set.
func (e *Error) ownDetails() map[string]string {
	own := e.Details
	for _, key := range [...]string{detailUnsent, detailLimit, detailErrors} {
		if _, claimed := own[key]; claimed {
			own = maps.Clone(e.Details)
			delete(own, detailUnsent)
			delete(own, detailLimit)
			delete(own, detailErrors)
			break
		}
	}
	return own
}

// withDetail returns a copy of details that says more.
func withDetail(details map[string]string, key, value string) map[string]string {
	more := maps.Clone(details)
	if more == nil {
		more = make(map[string]string, 1)
	}
	more[key] = value
	return more
}

// toWire is the only way of an error onto the wire.
func toWire(err error) wire.Response {
	r := wire.Response{Code: -1}
	if err == nil {
		return r
	}
	var e *Error
	if errors.As(err, &e) {
		r.ErrType, r.Details = int(e.kind), e.ownDetails()
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
	if over := limitOf(err); over != "" && !errors.Is(err, context.DeadlineExceeded) { // which then is what ended the call
		r.Details = withDetail(r.Details, detailLimit, over)
	}
	if code := CodeOf(err); code != impliedCode(ErrorType(r.ErrType), r.Error) {
		r.Code = int(code)
	}
	return r
}

// limitOf is bounded: a LimitError may be anybody's.
func limitOf(err error) string {
	var over *LimitError
	if !errors.As(err, &over) || over == nil || len(over.Limit) > maxLimitName {
		return ""
	}
	return over.Limit
}

const maxLimitName = 64

// fromWire is the only way of an error off the wire.
func fromWire(r wire.Response) error {
	if r.Error == "" {
		return nil
	}
	e := &Error{Code: Code(r.Code), Message: r.Error, Details: r.Details, kind: ErrorType(r.ErrType)}
	if _, e.unsent = e.Details[detailUnsent]; e.kind != ServerErr {
		e.unsent = false
	}
	e.names = e.Details[detailErrors]
	limit := e.Details[detailLimit]
	if e.Details = e.ownDetails(); len(e.Details) == 0 {
		e.Details = nil
	}
	if e.kind < NonRPCErr || e.kind > AuthorizationErr {
		e.kind = ServerErr
	}
	if r.Code <= 0 {
		e.Code = impliedCode(e.kind, e.Message)
	}
	if limit != "" {
		e.over(limit)
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
