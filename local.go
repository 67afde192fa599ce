package rpc

import (
	"context"
	"reflect"
)

// localTransport calls the server of the same process.
type localTransport struct {
	server *Server
}

// localCall is what a local call needs, in one piece.
type localCall struct {
	server CallInfo // the call as the server sees it
	ctx    serverContext
}

// carry calls the method directly. A context that can end must end the call
// at once, though the method may not: then the method has a goroutine.
func (t localTransport) carry(ctx context.Context, call *CallInfo) error {
	c := &localCall{server: CallInfo{
		Service: call.Service, Method: call.Method, Kind: call.Kind, Peer: call.Peer, Local: true,
		Args: call.Args, Reply: call.Reply, in: call.in, out: call.out,
	}}
	if call.stats != nil && call.Kind == Unary {
		call.stats.out(reflect.ValueOf(call.Args), nil)
	}
	var err error
	if ctx.Done() == nil {
		err = t.server.serveLocal(ctx, c)
	} else {
		done := make(chan error, 1)
		go func() { done <- t.server.serveLocal(ctx, c) }()
		select {
		case err = <-done:
		case <-ctx.Done():
			return contextError(ctx, call.ID())
		}
	}
	if call.Kind == Unary && c.server.Reply != nil {
		reflect.ValueOf(call.Reply).Elem().Set(reflect.ValueOf(c.server.Reply).Elem())
		if call.stats != nil {
			call.stats.in(reflect.ValueOf(call.Reply), nil)
		}
	}
	return err
}

// receiveLocal checks the types of a local call's argument and reply, or of
// its channels, against the method's.
func (c *CallInfo) receiveLocal() error {
	m := c.method
	if m.kind == Streaming {
		in, out := c.in.(*chanSource), c.out.(*chanSink)
		if a := in.ch.Type().Elem(); !a.AssignableTo(m.arg) {
			return m.mismatch(a.String())
		}
		if r := out.ch.Type().Elem(); !m.reply.AssignableTo(r) {
			return replyMismatch(ServerErr, m.id, m.reply.String(), out.ch.Type())
		}
		return nil
	}
	arg, err := m.takes(c.Args)
	if err != nil {
		return err
	}
	if err := m.fits(reflect.TypeOf(c.Reply)); err != nil {
		return err
	}
	c.Args = arg.Interface()
	c.stats.in(arg, nil)
	return nil
}
