// Package stats defines what a [Handler] is told of the calls that a client
// makes and a server serves. It has the shape of gRPC's package of that name,
// so that a handler for one is easily made to serve the other.
//
// For every call, on either side, a handler sees TagRPC, then [Begin], an
// [OutPayload] and an [InPayload] for each value that is sent and received,
// and [End], whatever panics or exits; nothing comes after End. Local calls are
// reported too: by the client and by the server, with payloads of length 0, for
// nothing is encoded.
package stats

import (
	"context"
	"time"
)

// Handler is told of calls. Its methods are called in the goroutines that
// carry the calls, several at a time: they must be safe for concurrent use and
// return soon.
//
// One that has a method WantsPayloads() bool, which returns false as the client or
// server is made, need not be told of payloads: values are then not kept for it.
type Handler interface {
	// TagRPC is called as a call begins and returns the context that the
	// call goes on with: a place to attach what HandleRPC wants to find.
	TagRPC(context.Context, *RPCTagInfo) context.Context
	// HandleRPC is called with each event, and with the context that TagRPC
	// returned or one made from it.
	HandleRPC(context.Context, RPCStats)
}

// RPCTagInfo names the call for [Handler.TagRPC].
type RPCTagInfo struct {
	// FullMethodName is "/Service.Method".
	FullMethodName string
}

// RPCStats is one event: a [*Begin], [*InPayload], [*OutPayload] or [*End]. Programs
// cannot implement it.
type RPCStats interface {
	isRPCStats()
	// IsClient reports whether the event is the caller's.
	IsClient() bool
}

// Begin is the start of a call.
type Begin struct {
	// Client is whether this is the caller's side.
	Client bool
	// BeginTime is when the call began.
	BeginTime time.Time
	// IsClientStream and IsServerStream are both true for a streaming call
	// and both false for a unary one.
	IsClientStream bool
	IsServerStream bool
}

// InPayload is a value that was received: an argument on the server, a reply
// on the client.
type InPayload struct {
	// Client is whether this is the caller's side.
	Client bool
	// Payload is the value. It must not be changed.
	Payload any
	// Data is its encoding, nil for a local call. It is valid until HandleRPC
	// returns.
	Data []byte
	// Length is the length of Data in bytes.
	Length int
	// WireLength is Length: nothing is compressed.
	WireLength int
	// RecvTime is when it had arrived.
	RecvTime time.Time
}

// OutPayload is a value that was sent: an argument on the client, a reply on
// the server.
type OutPayload struct {
	// Client is whether this is the caller's side.
	Client bool
	// Payload is the value. It must not be changed.
	Payload any
	// Data is its encoding, nil for a local call. It is valid until HandleRPC
	// returns.
	Data []byte
	// Length is the length of Data in bytes.
	Length int
	// WireLength is Length: nothing is compressed.
	WireLength int
	// SentTime is when it had been encoded, to be written at once or with
	// the next items.
	SentTime time.Time
}

// End is the end of a call.
type End struct {
	// Client is whether this is the caller's side.
	Client bool
	// BeginTime is when the call began.
	BeginTime time.Time
	// EndTime is when it ended.
	EndTime time.Time
	// Error is what it ended with: nil, the method's error, or the library's.
	Error error
}

func (*Begin) isRPCStats()      {}
func (*InPayload) isRPCStats()  {}
func (*OutPayload) isRPCStats() {}
func (*End) isRPCStats()        {}

// IsClient reports whether the event is the caller's.
func (s *Begin) IsClient() bool { return s.Client }

// IsClient reports whether the event is the caller's.
func (s *InPayload) IsClient() bool { return s.Client }

// IsClient reports whether the event is the caller's.
func (s *OutPayload) IsClient() bool { return s.Client }

// IsClient reports whether the event is the caller's.
func (s *End) IsClient() bool { return s.Client }
