package rpc

import (
	"context"
	"reflect"
	"runtime"
)

// localTransport calls the server of the same process.
type localTransport struct {
	server *Server
}

// localCall is what a local call needs, in one allocation.
type localCall struct {
	client CallInfo // the call as the client sees it
	server CallInfo // and as the server does
	ctx    serverContext
	used   bool
}

// carry calls the method directly. A context that can end must end the call
// at once, though the method may not: then the method has a goroutine.
func (t localTransport) carry(ctx context.Context, call *CallInfo) error {
	c := call.local
	if c.used { // an interceptor calls again
		c = new(localCall)
	}
	c.used = true
	c.server = CallInfo{
		Service: call.Service, Method: call.Method, Kind: call.Kind, Peer: call.Peer, Local: true,
		method: t.server.lookup(call.Service, call.Method),
		Args:   call.Args, into: reflect.TypeOf(call.Reply), stream: call.stream,
	}
	if call.stats != nil && call.Kind == Unary {
		call.stats.out(reflect.ValueOf(call.Args), nil)
	}
	var err error
	if ctx.Done() == nil {
		err = t.server.serveLocal(ctx, c)
	} else {
		done := make(chan error, 1)
		go func() {
			if m := c.server.method; m != nil && m.fast == nil {
				growStack()
			}
			returned := false
			defer func() {
				if !returned {
					done <- serverError(CodeInternal, c.server.ID(), "the method ended its goroutine")
				}
			}()
			err := t.server.serveLocal(ctx, c)
			returned = true
			done <- err
		}()
		select {
		case err = <-done:
		case <-ctx.Done():
			return contextError(ctx, call.ID())
		}
	}
	if err == errClosed || err == errStopped {
		return clientError(CodeFailedPrecondition, call.ID(), "%w", err)
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
func (call *CallInfo) receiveLocal() error {
	m := call.method
	if m.kind == Streaming {
		in, out := call.stream.in.(*chanSource), call.stream.out.(*chanSink)
		if a := in.ch.Type().Elem(); !a.AssignableTo(m.arg) {
			return m.mismatch(a.String())
		}
		if r := out.ch.Type().Elem(); !m.reply.AssignableTo(r) {
			return replyMismatch(m.id, m.reply.String(), out.ch.Type())
		}
		return nil
	}
	arg, err := m.takes(call.Args)
	if err != nil {
		return err
	}
	if err := m.fits(call.into); err != nil {
		return err
	}
	call.Args = arg.Interface()
	call.stats.in(arg, nil)
	return nil
}

// growStack makes room on a new goroutine's stack at once, while there is
// nothing on it to be moved: calling by reflection needs the room, and growing
// the stack under way, several times, takes longer than all the rest of a call.
//
//go:noinline
func growStack() {
	var room [4 << 10]byte
	runtime.KeepAlive(&room)
}
