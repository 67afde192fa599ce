package rpc

import (
	"context"
	"reflect"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/local"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// This file is about local calls: their argument and reply are checked against the
// method's types, and handed over as they are.

// streamEnds are the two directions of a streaming call: its arguments come from
// in, its replies go to out.
type streamEnds struct {
	in            flow.Source
	out           flow.Sink
	fresh         func() flow.Item // makes an item for out, to decode a reply into
	args, replies reflect.Type     // of the caller's channels
}

// localCall is what a local call needs, in one allocation or none.
type localCall struct {
	client  clientCall // the call as the client sees it
	server  servedCall // and as the server does
	carrier local.Call
	on      *Server
	frame   localFrame // has the argument and the reply of a typed call, whose method is looked up
	named   *ServiceID // whose names both have, if it is known
	used    bool
	// The caller's reply stays as it was, for the method's does not fit there.
	unanswered bool
	ends       *streamEnds // the caller's, of a streaming call
	back       *call.Back  // has the metadata that the method sends back
	kept       call.Back   // which mostly is this
	spare      *sync.Pool  // where it came from, if it is to be used again
}

// localFrame is what a local typed call has in place of an argument and a
// reply that are values of any type, where nobody but the method sees them.
type localFrame interface {
	// values returns the argument, and a pointer to the reply.
	values() (arg, reply any)
	// context returns the method's, to be filled in.
	context() *localContext
	// receive gets the argument and the reply ready for the call's method, or
	// says what is wrong with their types.
	receive(*servedCall) error
	// invoke runs the method.
	invoke(context.Context, *servedCall) error
	// store stores the reply.
	store(reply any)
}

// observeStream makes the ends of a local call tell the stats handler of its items.
func (c *clientCall) observeStream() {
	if c.stats != nil {
		c.stream.in.(flow.Observed).Observe(c.stats)
		c.stream.out.(flow.Observed).Observe(c.stats)
	}
}

// storeReply stores the reply of a local call, which is nil if the call was
// refused.
func (c *clientCall) storeReply(reply any) {
	c.remote.Answered = true
	to := reflect.ValueOf(c.Reply).Elem()
	if reply == nil {
		to.SetZero()
		return
	}
	if r := reflect.ValueOf(reply).Elem(); r.Type() == to.Type() { // as nearly always
		to.Set(r)
	} else {
		setReply(to, r)
	}
	c.stats.In(reflect.ValueOf(c.Reply), nil)
}

// reset makes a local call as new, but for what the next is written over anyway.
// Field by field: while memory is collected, to write over what is nil already
// takes longer than all the rest of a call.
func (c *clientCall) reset() {
	c.CallInfo.reset()
	if c.options != nil {
		c.options = nil
	}
	if c.stream != nil {
		c.stream = nil
	}
	if c.remote.Encoded != nil {
		c.remote.Encoded = nil
	}
	if c.stats != nil {
		c.stats = nil
	}
	if c.remote.Back != nil {
		c.remote.Back, c.local.back = nil, nil
		c.local.kept.Reset()
	}
	c.typed, c.remote.Begun, c.remote.Answered, c.tries = false, false, false, 0
}

// reset is that of [clientCall].
func (c *servedCall) reset() {
	c.CallInfo.reset()
	if c.into != nil {
		c.into = nil
	}
	if c.stats != nil {
		c.stats = nil
	}
	if c.servedStream != nil {
		c.servedStream, c.local.ends = nil, nil
	}
	c.told = false
}

func (call *CallInfo) reset() {
	if call.Args != nil {
		call.Args = nil
	}
	if call.Reply != nil {
		call.Reply = nil
	}
	call.Attempt = 0
}

// receive checks the types of a local call's argument and reply, or of its
// channels, against the method's.
func (l *localCall) receive(_ context.Context, s *servedCall) error {
	m := s.method
	switch {
	case l.frame != nil:
		return l.frame.receive(s)
	case m.kind == Unary:
		return s.receiveUnary()
	}
	if a := l.ends.args; !a.AssignableTo(m.arg) {
		return call.Mismatched(m.arg.String(), a.String())
	}
	if r := l.ends.replies; !m.reply.AssignableTo(r) {
		return call.WrongReply(m.reply.String(), reflect.PointerTo(r))
	}
	return nil
}

func (c *servedCall) receiveUnary() error {
	m := c.method
	arg, err := m.takes(c.Args)
	if err != nil {
		return err
	}
	if err := m.fits(c.into); err != nil {
		c.local.unanswered = true
		return err
	}
	c.Args = arg.Interface()
	c.stats.In(arg, nil)
	return nil
}

// Exited is that of [local.Runner].
func (l *localCall) Exited() error { return exited(&l.server.CallInfo) }

// Reflects is that of [local.Runner].
func (l *localCall) Reflects() bool {
	m := l.server.method
	return m != nil && m.typed == nil && m.fn.Reflects()
}

// name sets the names of a local call, if they are others than those of the last:
// see [clientCall.reset].
func (call *CallInfo) name(id ServiceID, p peer.ID) {
	if call.Service != id.Name {
		call.Service = id.Name
	}
	if call.Method != id.Method {
		call.Method = id.Method
	}
	if call.Peer != p {
		call.Peer = p
	}
}

// isTyped reports whether the call is of a method value.
func (c *clientCall) isTyped() bool { return c.typed || c.local != nil && c.local.frame != nil }
