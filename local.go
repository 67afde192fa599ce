package rpc

import (
	"context"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/local"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// This file is about local calls: their argument and reply are checked against the
// method's types, and handed over as they are.

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

// carryLocal makes a call of the client's server.
func (c *Client) carryLocal(ctx context.Context, k *clientCall) error {
	l := k.local
	if l.used { // an interceptor calls again
		l = &localCall{on: c.server}
		l.server.local, l.server.served, l.server.from = l, &l.server, l
	}
	l.used = true
	s := &l.server
	if l.named == nil {
		s.name(k.ID(), k.Peer)
	}
	s.Kind, s.Local = k.Kind, true
	if l.frame == nil {
		s.method = c.server.lookup(k.Service, k.Method)
		s.Args, s.into = k.Args, reflect.TypeOf(k.Reply)
	}
	if k.stats != nil && k.Kind == Unary {
		k.stats.Out(reflect.ValueOf(k.Args), nil)
	}
	if k.Kind == Streaming {
		k.remote.Begun = true
		k.observeStream()
		l.ends, s.stream = k.stream, &local.Stream{In: k.stream.in, Out: k.stream.out}
	}
	err := l.carrier.Carry(ctx, l)
	switch {
	case l.carrier.Left:
	case err == flow.ErrClosed || err == flow.ErrStopped:
		return call.Fail(call.OfClient, call.FailedPrecondition, "%w", err)
	case l.frame != nil:
		if s.into != nil || s.Reply == nil { // or it is there
			l.frame.store(s.Reply)
		}
	case k.Kind == Unary && !l.unanswered && !l.carrier.Exited:
		k.answered(s.Reply)
	}
	return err
}

// observeStream makes the ends of a local call tell the stats handler of its items.
func (c *clientCall) observeStream() {
	if c.stats != nil {
		c.stream.in.(flow.Observed).Observe(c.stats)
		c.stream.out.(flow.Observed).Observe(c.stats)
	}
}

// answered stores the reply of a local call, which is nil if the call was
// refused.
func (c *clientCall) answered(reply any) {
	to := reflect.ValueOf(c.Reply).Elem()
	if reply == nil {
		to.SetZero()
		return
	}
	to.Set(reflect.ValueOf(reply).Elem())
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
	if c.encoded != nil {
		c.encoded = nil
	}
	if c.stats != nil {
		c.stats = nil
	}
	c.typed, c.remote.Begun = false, false
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
	if c.stream != nil {
		c.stream, c.source, c.sink, c.local.ends = nil, nil, nil, nil
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
		return mismatched(m.arg.String(), a.String())
	}
	if r := l.ends.replies; !m.reply.AssignableTo(r) {
		return call.WrongReply(m.reply.String(), reflect.PointerTo(r))
	}
	return nil
}

func (s *servedCall) receiveUnary() error {
	m := s.method
	arg, err := m.takes(s.Args)
	if err != nil {
		return err
	}
	if err := m.fits(s.into); err != nil {
		s.local.unanswered = true
		return err
	}
	s.Args = arg.Interface()
	s.stats.In(arg, nil)
	return nil
}

// Exited is that of [local.Runner].
func (l *localCall) Exited() error { return exited(&l.server.CallInfo) }

// Reflects is that of [local.Runner].
func (l *localCall) Reflects() bool {
	m := l.server.method
	return m != nil && m.typed == nil && m.fn.Reflects()
}
