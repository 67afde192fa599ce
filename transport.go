package rpc

import (
	"context"
	"reflect"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// transport is the seam: it carries one call to its end. Everything else that
// happens to a call (its deadline, interceptors, stats, authorization, limits,
// recovery) stands above it, once.
//
// A unary call has its argument in call.Args and its reply in call.Reply,
// which must not be written to after carry has returned. A streaming call's
// are in call.stream.
type transport interface {
	carry(ctx context.Context, call *CallInfo) error
}

// remoteCall is a server's side of a transport between processes.
type remoteCall interface {
	// receive gets the argument of a unary call.
	receive(ctx context.Context, call *CallInfo) error
	// ends returns the ends of a streaming call, whose arguments are decoded into
	// the items that fresh makes.
	ends(call *CallInfo, fresh func() flow.Item) *streamEnds
	// respond sends the reply and the error; it is the last that is sent. It
	// returns the error that was told.
	respond(call *CallInfo, err error) error
	// watched returns ctx, the call's, or one of it, that ends when the caller
	// has gone.
	watched(ctx context.Context) context.Context
	// caller is the peer.
	caller() peer.ID
	// context is where the method's context is made: one allocation less.
	context() *serverContext
	// holding is what the call's arguments hold, decoded.
	holding() *account.Holding
}

// streamEnds are the two directions of a streaming call: its arguments come from
// in, its replies go to out.
type streamEnds struct {
	in  flow.Source
	out flow.Sink

	// In a client.
	fresh         func() flow.Item // makes an item for out, to decode a reply into
	args, replies reflect.Type     // of the caller's channels
}

// observe makes a client's ends tell o of the items of a local call.
func (e *streamEnds) observe(o flow.Observer) {
	e.in.(flow.Observed).Observe(o)
	e.out.(flow.Observed).Observe(o)
}
