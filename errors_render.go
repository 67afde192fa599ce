package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// The library's own errors are faults (package call) on their way up. This file
// alone renders them: for the wire by a server, which knows no peer's name for
// itself, and for the program by a client.

// view is who sees a fault.
type view struct {
	id        ServiceID
	peer      peer.ID // empty in a server, and without a host
	client    bool
	typed     bool // the call is of a method value
	streaming bool
}

// render is the one place where a fault becomes an error.
func (v view) render(f *call.Fault) *Error {
	e := &Error{Code: f.Code, kind: ErrorType(f.Origin), Message: v.text(f), unsent: f.Unsent, cause: f.Cause}
	if f.Limit != "" {
		e.cause = &LimitError{f.Limit, e.cause}
		e.byLimit = f.Code == codes.DeadlineExceeded
	}
	switch f.Class {
	case call.Dial:
		e.cause = &DialError{v.peer, e.cause}
	case call.Transport:
		e.cause = &TransportError{v.peer, e.cause}
	}
	if f.Takes != "" {
		e.Details = map[string]string{detailTakes: f.Takes}
		if f.Misfit != "" {
			e.Details[detailCause] = f.Misfit
		}
	}
	if f.Wait > 0 {
		e.Details = withDetail(e.Details, detailWait, f.Wait.String())
	}
	if !v.client {
		e.fault = f
	} else if !v.typed {
		e.ended = f.Ended
	}
	return e
}

// text names what was called and, in a client, the peer.
func (v view) text(f *call.Fault) string {
	id := v.id.String()
	if f.Words != "" {
		return f.Words + v.names(f)
	}
	text := "rpc: "
	if v.id != (ServiceID{}) {
		text += id + ": "
	}
	if v.client && v.peer != "" && !f.Naming {
		text += "peer " + v.peer.String() + ": "
	}
	return text + f.What + f.SetBy + v.advice(f) + f.Also
}

// names is what follows v0.6's words, which stay as they are at the beginning.
func (v view) names(f *call.Fault) string {
	id := v.id.String()
	named := strings.Contains(f.Words, id)
	switch {
	case !v.client, v.peer == "" && named:
		return ""
	case v.peer == "":
		return " (" + id + ")"
	case named:
		return " (peer " + v.peer.String() + ")"
	}
	return " (" + id + ", peer " + v.peer.String() + ")"
}

// The advice for methods that are called by their names. A method value is
// declared with a type and a kind, and a stream has no pointer to its reply.
const (
	useCall   = "; call it with Call, Go or MultiCall"
	useStream = "; call it with Stream or MultiStream"
)

func (v view) advice(f *call.Fault) string {
	switch f.Advice {
	case call.PassValue:
		return "; pass a value of that type"
	case call.PassPointer:
		if v.typed || v.streaming {
			return ", which does not fit the " + strings.TrimPrefix(f.Into, "*") + " that is expected here"
		}
		return ", which does not fit a " + f.Into + "; pass a pointer to that type"
	case call.UseUnary:
		if v.typed {
			return "; declare it with NewMethod"
		}
		return useCall
	case call.UseStream:
		if v.typed {
			return "; declare it with NewServerStream, NewClientStream or NewDuplex"
		}
		return useStream
	}
	return ""
}

// fail renders a fault that a client makes outside a call's chain.
func fail(id ServiceID, p peer.ID, c codes.Code, format string, args ...any) *Error {
	return view{id: id, peer: p, client: true, typed: true}.render(call.Fail(call.OfClient, codes.Code(c), format, args...))
}

// contextError is the error of a call whose context has ended.
func contextError(ctx context.Context, id ServiceID, p peer.ID) *Error {
	return view{id: id, peer: p, client: true, typed: true}.render(call.Ended(ctx))
}

// rendered is err as interceptors of a server see it, and its caller.
func rendered(id ServiceID, err error) error {
	switch e := err.(type) {
	case *call.Fault:
		return view{id: id}.render(e)
	case *flow.ItemError:
		return e.Err
	}
	return err
}

func (c *clientCall) view() view {
	return view{id: c.ID(), peer: c.Peer, client: true, typed: c.isTyped(), streaming: c.Kind == Streaming}
}

// told is err, of a carrier or of a server, as the program sees it.
func (c *clientCall) told(err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *call.Fault:
		return c.view().render(e)
	case *call.Refusal:
		own := fromWire(e.Response, c.ID())
		c.recognized(own)
		if own.fault != nil && own.fault.Takes != "" && c.Kind == Unary {
			return c.view().render(c.mismatch(own.fault))
		}
		return c.retold(own)
	case *flow.ItemError:
		return c.told(e.Err)
	case *Error:
		return c.retold(e)
	}
	return err
}

// retold renders an error again that a server has made of a fault of this call.
func (c *clientCall) retold(e *Error) error {
	if e.fault == nil {
		return e
	}
	named := *e
	named.Message, named.fault = c.view().text(e.fault), nil
	return &named
}

// mismatch puts the argument's own type into the server's complaint about it, which
// knows only what arrived.
func (c *clientCall) mismatch(f *call.Fault) *call.Fault {
	given := describeArg(c.Args)
	if f.Misfit != "" && strings.TrimLeft(given, "*") == strings.TrimLeft(f.Takes, "*") {
		return call.Undecoded(f.Takes, f.Misfit)
	}
	return call.Mismatched(f.Takes, given)
}

// v0.6's words. Its clients know them by heart, and its servers send no code.

func notFoundWords(what string) *call.Fault {
	return &call.Fault{Origin: call.OfServer, Code: codes.Unimplemented, Words: "rpc: can't find " + what}
}

func deniedWords(id ServiceID) *call.Fault {
	return &call.Fault{Origin: call.OfAuthorization, Code: codes.PermissionDenied, Words: "client does not have permissions to call " + id.String()}
}

// What the library says of an error, in its Details. The first three are in those
// that a caller sees.
const (
	detailWait   = "rpc.retry-after" // how long to wait before the next attempt
	detailTakes  = "rpc.takes"       // the type that the method takes
	detailCause  = "rpc.cause"       // what does not decode, and why
	detailUnsent = "rpc.unsent"      // the call was turned away unread
	detailLimit  = "rpc.limit"       // the Limit of a LimitError
	detailErrors = "rpc.errors"      // the names of the declared errors that it is, with commas between them
	detailAdvice = "rpc.advice"      // which method the text advises: "unary" or "stream"
	detailPassed = "rpc.passed"      // the error is of another call, which the method made
)

var hiddenDetails = [...]string{detailUnsent, detailLimit, detailErrors, detailAdvice, detailPassed}

// ownDetails returns the details that a method may have set.
func (e *Error) ownDetails() map[string]string {
	own := e.Details
	for _, key := range hiddenDetails {
		if _, claimed := own[key]; !claimed {
			continue
		}
		own = maps.Clone(e.Details)
		for _, key := range hiddenDetails {
			delete(own, key)
		}
		break
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
	if len(r.Error) > call.MaxErrorText {
		r.Error = strings.ToValidUTF8(r.Error[:call.MaxErrorText], "") + " (truncated)"
	}
	if size := msgpack.StringMapSize(r.Details); size > call.MaxErrorText {
		r.Details = map[string]string{"rpc.details": fmt.Sprintf("left out: %d bytes, and %d may be", size, call.MaxErrorText)}
	}
	if e != nil {
		r.Details = e.hints(r.Details)
	}
	if over := limitOf(err); over != "" && !(e != nil && e.local) && !errors.Is(err, context.DeadlineExceeded) { // which then is what ended the call
		r.Details = withDetail(r.Details, detailLimit, over)
	}
	if code := CodeOf(err); code != call.ImpliedCode(call.Origin(r.ErrType), r.Error) {
		r.Code = int(code)
	}
	return r
}

// hints adds to details what a client needs to render the error as its own.
func (e *Error) hints(details map[string]string) map[string]string {
	if e.unsent {
		details = withDetail(details, detailUnsent, "true")
	}
	switch {
	case e.fault == nil && e.kind != NonRPCErr:
		details = withDetail(details, detailPassed, "true")
	case e.fault == nil:
	case e.fault.Advice == call.UseUnary:
		details = withDetail(details, detailAdvice, "unary")
	case e.fault.Advice == call.UseStream:
		details = withDetail(details, detailAdvice, "stream")
	}
	return details
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

// fromWire is the only way of an error off the wire. If it is the server's own it
// has its fault, to be rendered.
func fromWire(r wire.Response, id ServiceID) *Error {
	e := &Error{Code: codes.Code(r.Code), Message: r.Error, Details: r.Details, kind: ErrorType(r.ErrType)}
	if _, e.unsent = e.Details[detailUnsent]; e.kind != ServerErr {
		e.unsent = false
	}
	e.names = e.Details[detailErrors]
	limit, advice := e.Details[detailLimit], e.Details[detailAdvice]
	_, passed := e.Details[detailPassed]
	if e.Details = e.ownDetails(); len(e.Details) == 0 {
		e.Details = nil
	}
	if e.kind < NonRPCErr || e.kind > AuthorizationErr {
		e.kind = ServerErr
	}
	if r.Code <= 0 {
		e.Code = call.ImpliedCode(call.Origin(e.kind), e.Message)
	}
	if limit != "" {
		e.cause = &LimitError{limit, nil}
		e.byLimit = e.Code == codes.DeadlineExceeded
	}
	if (e.kind == ServerErr || e.kind == AuthorizationErr) && !passed {
		e.fault = faultIn(e, id, advice)
	}
	return e
}

// faultIn returns the fault that a server has rendered: v0.6's words, unless it
// begins as those of this library do.
func faultIn(e *Error, id ServiceID, advice string) *call.Fault {
	f := &call.Fault{Origin: call.Origin(e.kind), Words: e.Message}
	what, ok := strings.CutPrefix(e.Message, "rpc: "+id.String()+": ")
	if !ok {
		return f
	}
	f.Takes, f.Misfit = e.Details[detailTakes], e.Details[detailCause]
	f.What, f.Words = what, ""
	switch advice {
	case "unary":
		f.What, f.Advice = strings.TrimSuffix(what, useCall), call.UseUnary
	case "stream":
		f.What, f.Advice = strings.TrimSuffix(what, useStream), call.UseStream
	}
	return f
}
