package rpc

import (
	"context"
	"reflect"
	"weak"
)

// localFrame is what a local typed call has in place of an argument and a
// reply that are values of any type, where nobody but the method sees them.
type localFrame interface {
	// context returns the method's, to be filled in.
	context() *serverContext
	// lookup is Server.lookup.
	lookup(s *Server) *method
	// receive gets the argument and the reply ready for the call's method, or
	// says what is wrong with their types.
	receive(call *CallInfo) error
	// invoke runs the method.
	invoke(ctx context.Context, call *CallInfo) error
	// store stores the reply.
	store(reply any)
	// again returns one for another attempt.
	again() localFrame
}

// typedFrame is a localFrame in one allocation. It is the method's until that
// has returned, and the caller's afterwards.
type typedFrame[A, R any] struct {
	serverContext
	of    *Method[A, R]
	arg   A
	reply R
	f     func(context.Context, A) (R, error) // nil for a method of a receiver
}

// foundMethod is what a name meant in a server's services: as long as those
// are the same, it does still. It keeps neither, for a method's value may live
// longer than its servers.
type foundMethod struct {
	services weak.Pointer[map[string]*service]
	method   weak.Pointer[method]
}

func (f *typedFrame[A, R]) context() *serverContext { return &f.serverContext }

func (f *typedFrame[A, R]) lookup(s *Server) *method {
	services := s.services.Load()
	if found := f.of.found.Load(); found != nil && found.services.Value() == services {
		return found.method.Value() // which the services have
	}
	m := methodOf(*services, f.of.id.Name, f.of.id.Method)
	f.of.found.Store(&foundMethod{weak.Make(services), weak.Make(m)})
	return m
}

func (f *typedFrame[A, R]) receive(call *CallInfo) (err error) {
	m := call.method
	if h, ok := m.handler.(func(context.Context, A) (R, error)); ok && !(f.of.nilable && isNil(f.arg)) {
		f.f, call.Reply = h, &f.reply
		return nil
	}
	call.Args, call.into = f.arg, reflect.TypeFor[*R]()
	if err = call.receiveUnary(); err != nil {
		return err
	}
	if m.replyPtr == call.into {
		call.Reply = &f.reply
	} else {
		call.Reply = reflect.New(m.reply).Interface()
	}
	return nil
}

func (f *typedFrame[A, R]) invoke(ctx context.Context, call *CallInfo) (err error) {
	if f.f == nil {
		return call.method.call(ctx, call.Args, call.Reply)
	}
	f.reply, err = f.f(ctx, f.arg)
	return noTypedNil(err)
}

func (f *typedFrame[A, R]) store(reply any) {
	switch r := reply.(type) {
	case nil:
		var none R
		f.reply = none
	case *R:
		if r != &f.reply { // as it mostly is not
			f.reply = *r
		}
	default:
		reflect.ValueOf(&f.reply).Elem().Set(reflect.ValueOf(r).Elem())
	}
}

func (f *typedFrame[A, R]) again() localFrame { return &typedFrame[A, R]{of: f.of, arg: f.arg} }
