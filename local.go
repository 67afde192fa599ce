package rpc

import (
	"context"
	"reflect"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// localTransport calls the server of the same process.
type localTransport struct {
	server *Server
}

// localCall is what a local call needs, in one allocation or none.
type localCall struct {
	client CallInfo   // the call as the client sees it
	server CallInfo   // and as the server does
	frame  localFrame // has the argument and the reply of a typed call, whose method is looked up
	named  *ServiceID // whose names both have, if it is known
	used   bool
	ended  chan error // of the method's goroutine
	left   bool       // the method may be using this still
	// The caller's reply stays as it was, because the method's does not fit there.
	unanswered bool
	spare      *sync.Pool // where it came from, if it is to be used again
}

// newLocalCall returns one to be given back by release. One that interceptors
// or a stats handler see is theirs to look at for as long as they like, and is
// new.
func (c *Client) newLocalCall() *localCall {
	if c.watched || c.server == nil || c.server.watched {
		return new(localCall)
	}
	l, _ := c.spare.Get().(*localCall)
	if l == nil {
		l = &localCall{spare: &c.spare}
	}
	return l
}

func (c *localCall) release() {
	if c.spare == nil || c.left {
		return
	}
	c.used, c.unanswered = false, false
	if c.frame != nil && c.server.into == nil && c.client.options == nil {
		c.frame, c.server.Reply = nil, nil // and nothing else was set
	} else {
		c.client.reset()
		c.server.reset()
		c.frame = nil
	}
	c.spare.Put(c)
}

// name sets the names of a local call, if they are others than those of the
// last: see reset.
func (call *CallInfo) name(svc, method string, p peer.ID) {
	if call.Service != svc {
		call.Service = svc
	}
	if call.Method != method {
		call.Method = method
	}
	if call.Peer != p {
		call.Peer = p
	}
}

// reset makes the info of a local call as new, but for what the next is written
// over anyway. Field by field: while memory is collected, to write over what is
// nil already takes longer than all the rest of a call.
func (call *CallInfo) reset() {
	if call.Args != nil {
		call.Args = nil
	}
	if call.Reply != nil {
		call.Reply = nil
	}
	if call.options != nil {
		call.options = nil
	}
	if call.stream != nil {
		call.stream = nil
	}
	if call.encoded != nil {
		call.encoded = nil
	}
	if call.into != nil {
		call.into = nil
	}
	if call.stats != nil {
		call.stats = nil
	}
	if call.errorNames != "" {
		call.errorNames = ""
	}
	call.begun, call.typed, call.answered, call.Attempt = false, false, false, 0
}

// carry calls the method directly. A context that can end must end the call
// at once, though the method may not: then the method has a goroutine.
func (t localTransport) carry(ctx context.Context, call *CallInfo) error {
	c := call.local
	if c.used { // an interceptor calls again
		c = new(localCall)
	}
	c.used = true
	s := &c.server
	if c.named == nil {
		s.name(call.Service, call.Method, call.Peer)
	}
	s.Kind, s.Local = call.Kind, true
	if s.local != c {
		s.local = c
	}
	if c.frame == nil {
		s.method = t.server.lookup(call.Service, call.Method)
		s.Args, s.into, s.stream = call.Args, reflect.TypeOf(call.Reply), call.stream
	}
	if call.stats != nil && call.Kind == Unary {
		call.stats.out(reflect.ValueOf(call.Args), nil)
	}
	var err error
	if ctx.Done() == nil {
		c.left = true // unless it returns: the method may end its goroutine
		err = t.server.serveLocal(ctx, c)
		c.left = false
	} else {
		if c.ended == nil {
			c.ended = make(chan error, 1)
		}
		go t.server.serveApart(ctx, c)
		select {
		case err = <-c.ended:
			err = call.ownEnd(ctx, err)
		case <-ctx.Done():
			c.left = true
			return call.contextEnded(ctx)
		}
	}
	if err == errClosed || err == errStopped {
		return clientError(CodeFailedPrecondition, call.ID(), "%w", err)
	}
	if c.frame != nil {
		if s.into != nil || s.Reply == nil { // or it is there
			c.frame.store(s.Reply)
		}
	} else if call.Kind == Unary && !c.unanswered {
		call.storeReply(s.Reply)
	}
	return err
}

// storeReply stores the reply of a local call, which is nil if the call was
// refused.
func (call *CallInfo) storeReply(reply any) {
	if reply == nil {
		call.noReply()
		return
	}
	call.answered = true
	reflect.ValueOf(call.Reply).Elem().Set(reflect.ValueOf(reply).Elem())
	if call.stats != nil {
		call.stats.in(reflect.ValueOf(call.Reply), nil)
	}
}

// serveApart is serveLocal in a goroutine of its own.
func (s *Server) serveApart(ctx context.Context, c *localCall) {
	if m := c.server.method; m != nil && m.direct.form == notDirect && m.typed == nil {
		growStack()
	}
	ended := c.ended
	returned := false
	defer func() {
		if !returned {
			c.server.Reply = nil // who knows what is in it
			ended <- exited(&c.server)
		}
	}()
	err := s.serveLocal(ctx, c)
	returned = true
	ended <- err
}

// receiveLocal checks the types of a local call's argument and reply, or of
// its channels, against the method's.
func (call *CallInfo) receiveLocal() error {
	switch m := call.method; {
	case call.local.frame != nil:
		return call.local.frame.receive(call)
	case m.kind == Streaming:
		if a := call.stream.args; !a.AssignableTo(m.arg) {
			return m.mismatch(a.String())
		}
		if r := call.stream.replies; !m.reply.AssignableTo(r) {
			return replyMismatch(m.id, m.reply.String(), reflect.PointerTo(r))
		}
		return nil
	}
	return call.receiveUnary()
}

func (call *CallInfo) receiveUnary() error {
	m := call.method
	arg, err := m.takes(call.Args)
	if err != nil {
		return err
	}
	if err := m.fits(call.into); err != nil {
		call.local.unanswered = true
		return err
	}
	call.Args = arg.Interface()
	call.stats.in(arg, nil)
	return nil
}
