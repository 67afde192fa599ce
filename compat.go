package rpc

// This file has what only programs that were written for v0.6 name.

// Response is the header of a reply, as v0.6 exports it. The library's own
// reading and writing of it is described in docs/wire.md; the type is here for
// programs that name it.
type Response struct {
	Service ServiceID
	Error   string
	ErrType ErrorType
	Data    any
}

// ContextKey is the type of the keys that the library puts into contexts.
type ContextKey string

// ContextKeyRequestSender is the key under which a method's context holds the
// caller's [peer.ID]. Use [GetRequestSender].
const ContextKeyRequestSender ContextKey = "request_sender"
