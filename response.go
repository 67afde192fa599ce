package rpc

import (
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// appendResponse appends what the caller is told: a header with the error, if
// there is one, and the reply, but for those bytes of it that are the method's
// own. The error returned is the one that is told.
func (s *Server) appendResponse(b []byte, call *CallInfo, err error) (out, users []byte, told error) {
	start := len(b) // replies of a stream may be waiting
	if err == nil {
		b = append(b, call.okHeader()...)
		if b, users, err = s.appendReply(b, call); err == nil {
			return b, users, nil
		}
		b, call.Reply = b[:start], nil
	}
	r := toWire(err)
	r.Service, r.Method = call.Service, call.Method
	if call.errorNames != "" {
		r.Details = withDetail(r.Details, detailErrors, call.errorNames)
	}
	b = wire.AppendResponse(b, &r)
	head := len(b)
	var failed error
	if call.Kind == Unary && call.Reply != nil {
		b, users, failed = s.appendReply(b, call) // it arrives beside its error
	}
	if len(b) == head || failed != nil {
		b = append(b[:head], msgpack.Nil)
	}
	return b, users, err
}

// okHeader is the header of a reply without error. On a session it is short.
func (call *CallInfo) okHeader() []byte {
	if call.conn == nil {
		return sessionOK
	}
	return call.method.ok
}

// appendReply appends the encoding of a unary call's reply, but for those bytes
// of it that are the method's own.
func (s *Server) appendReply(b []byte, call *CallInfo) (out, users []byte, err error) {
	start, raw := len(b), false
	if call.stats == nil {
		users, raw = rawBytes(call.Reply)
	}
	if raw {
		b = msgpack.AppendStringHead(b, len(users))
	} else if b, err = appendEncoded(b, call.Reply); err != nil {
		return b, nil, serverError(CodeInternal, call.ID(), "the reply: %w", err)
	}
	if n, most := len(b)-start+len(users), s.limits.MessageSize; n > most {
		return b, nil, serverError(CodeResourceExhausted, call.ID(),
			"the reply is %d bytes long, and %d may be; Limits.MessageSize of the server sets it", n, most).over("Limits.MessageSize")
	}
	if call.stats != nil {
		call.stats.out(reflect.ValueOf(call.Reply), b[start:])
	}
	if users == nil && !s.watched {
		call.Reply = nil // the bytes may wait long, and are enough to hold
	}
	return b, users, nil
}
