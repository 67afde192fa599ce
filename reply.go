package rpc

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// This file is about what a client makes of what it is told, by whatever
// transport it came.

// readFailure returns the error that a response's header tells, if any; err is
// of a header that is none.
func readFailure(id ServiceID, b []byte) (failure, err error) {
	resp, err := wire.ParseResponse(b)
	if err != nil {
		return nil, clientError(CodeInternal, id, "bad response: %w", err)
	}
	return fromWire(resp), nil
}

// setReply stores the reply that came, beside a failure or none, in place of what
// the caller's variable holds; or err came in place of it. A failure without a
// reply is an answer, too, and its reply is zero.
func (c *Client) setReply(call *CallInfo, m message, err, failure error) error {
	failure = call.ownWords(failure)
	switch {
	case failure != nil && (err != nil || msgpack.IsNil(m.b)):
		call.noReply()
		return failure
	case err != nil:
		return limitError(err, call.ID(), ClientErr, "the reply", &c.limits)
	}
	h := holding{account: &c.decoded, peer: call.Peer}
	defer h.release() // it is the caller's
	if err := decodeReply(m, call.Reply, &c.limits, &h); err == nil {
		call.answered = true
	} else if failure == nil {
		return undecodable(call.ID(), m.b, reflect.TypeOf(call.Reply), err)
	}
	if call.stats != nil {
		call.stats.in(reflect.ValueOf(call.Reply), m.b)
	}
	return failure
}

// noReply makes the caller's reply zero: the server has answered without one.
func (call *CallInfo) noReply() {
	call.answered = true
	reflect.ValueOf(call.Reply).Elem().SetZero()
}

// undecodable is the error of a reply that cannot be decoded into what a pointer
// of that type points to.
func undecodable(id ServiceID, b []byte, into reflect.Type, err error) *Error {
	var part *untravelled
	var field *misfitError
	switch {
	case errors.Is(err, errExpands):
		return clientError(CodeResourceExhausted, id, "the reply: %w", err).over("Limits.MessageSize")
	case errors.As(err, new(*accountError)):
		return clientError(CodeResourceExhausted, id, "the reply: %w", err).over("Limits.DecodedPerPeer")
	case errors.As(err, &part):
		return clientError(CodeInvalidArgument, id, "the reply's %w", err)
	case errors.As(err, &field) && field.field != "":
		return clientError(CodeInvalidArgument, id, "the reply does not decode into a %v: %w", into, err)
	}
	return replyMismatch(id, msgpack.Describe(b), into).because(err)
}

// ownWords puts the argument's own type into the server's complaint about it,
// which knows only what arrived.
func (call *CallInfo) ownWords(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) || e.kind != ServerErr || e.Details[detailTakes] == "" || call.Kind != Unary {
		return err
	}
	takes, given, cause := e.Details[detailTakes], describeArg(call.Args), e.Details[detailCause]
	// A method may pass on the complaint about a call of its own.
	head := "rpc: " + call.ID().String() + ": "
	if !strings.HasPrefix(e.Message, head+fmt.Sprintf(takesOther, takes)) && !strings.HasPrefix(e.Message, head+fmt.Sprintf(doesNotDecode, takes)) {
		return err
	}
	if cause != "" && strings.TrimLeft(given, "*") == strings.TrimLeft(takes, "*") {
		return undecoded(ServerErr, call.ID(), takes, cause)
	}
	return mismatched(ServerErr, call.ID(), takes, given)
}

// advised puts advice that the caller can follow in place of that for methods
// called by their names: a method value is declared with a type and a kind, and
// a stream has no pointer to its reply.
func (call *CallInfo) advised(err error) error {
	typed := call.isTyped()
	e, own := err.(*Error)
	if !own || e.kind == NonRPCErr || !typed && call.Kind == Unary || !strings.HasPrefix(e.Message, "rpc: "+call.ID().String()+": ") {
		return err
	}
	text := e.Message
	if e.kind == ClientErr {
		if head, tail, ok := strings.Cut(text, wrongReply+"*"); ok {
			if into, rest, ok := strings.Cut(tail, passPointer); ok {
				text = head + ", which does not fit the " + into + " that is expected here" + rest
			}
		}
	} else if head, ok := strings.CutSuffix(text, useCall); ok && typed {
		text = head + useMethod
	} else if head, ok := strings.CutSuffix(text, useStream); ok && typed {
		text = head + useTypedEnds
	}
	if text == e.Message {
		return err
	}
	advised := *e
	advised.Message = text
	return &advised
}
