package rpc

import (
	"context"
	"reflect"
)

// localFrame is what a local typed call has in place of an argument and a
// reply that are values of any type, where nobody but the method sees them.
type localFrame interface {
	// context returns the method's, to be filled in.
	context() *localContext
	// receive gets the argument and the reply ready for the call's method, or
	// says what is wrong with their types.
	receive(call *CallInfo) error
	// invoke runs the method.
	invoke(ctx context.Context, call *CallInfo) error
	// store stores the reply.
	store(reply any)
}

// typedFrame is a localFrame in one allocation. It is the method's until that
// has returned, and the caller's afterwards.
type typedFrame[A, R any] struct {
	localContext
	arg   A
	reply R
}

func (f *typedFrame[A, R]) context() *localContext { return &f.localContext }

func (f *typedFrame[A, R]) receive(call *CallInfo) (err error) {
	m := call.method
	if _, ok := m.handler.(func(context.Context, A) (R, error)); ok && !(m.nilable && isNil(f.arg)) {
		call.Reply = &f.reply
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
	if call.into != nil {
		return call.method.call(ctx, call.Args, call.Reply)
	}
	f.reply, err = call.method.handler.(func(context.Context, A) (R, error))(ctx, f.arg)
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
