package rpc

import (
	"context"
	"fmt"
	"reflect"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Method is a unary method as a value: its names and its types, declared once
// and used at both ends, so that the compiler sees to it that they agree.
//
//	var Multiply = rpc.NewMethod[Args, int]("Arith", "Multiply")
//
//	err := Multiply.Handle(server, func(ctx context.Context, a Args) (int, error) {
//		return a.A * a.B, nil
//	})
//
//	product, err := Multiply.Call(ctx, client, dest, Args{6, 7})
//
// It is the same method for those who call it by its names ([Client.Call]), or
// serve it by a receiver ([Server.Register]): the types say what travels, A as
// the argument, R as the reply. A Method is safe for concurrent use, and is
// mostly a package's variable.
type Method[A, R any] struct {
	id     ServiceID
	config methodConfig
	found  foundMethod // by the last local call
}

type methodConfig struct {
	calls []CallOption
}

// NewMethod declares the unary method service.method. It panics if a name is
// empty, or both are longer than [MaxServiceIDLength] with the dot.
func NewMethod[A, R any](service, method string, opts ...CallOption) *Method[A, R] {
	return &Method[A, R]{id: declared(service, method), config: configured(opts)}
}

func configured(opts []CallOption) methodConfig {
	for _, opt := range opts {
		forMany(opt)
	}
	return methodConfig{opts}
}

func declared(service, method string) ServiceID {
	id := ServiceID{service, method}
	switch n := len(id.String()); {
	case service == "" || method == "":
		panic(fmt.Sprintf("rpc: method %q of service %q: both must have a name", method, service))
	case n > MaxServiceIDLength:
		panic(fmt.Sprintf("rpc: the name %v is %d bytes long, and %d may be", id, n, MaxServiceIDLength))
	}
	return id
}

// ID returns the method's names.
func (m *Method[A, R]) ID() ServiceID { return m.id }

// String returns "Service.Method".
func (m *Method[A, R]) String() string { return m.id.String() }

// Handle makes f serve the method at s. f runs under the rules of every method
// (see the package documentation): its context ends with the call, it is
// called concurrently, a panic ends its call, and what it returns beside an
// error is sent too. The service may have other methods, of receivers also.
// Handle returns an error if s or f is nil, and if the method is there already. It
// may be called while the server is in use. If a part of A or R cannot travel,
// remote calls fail in which it is not nil or zero: [Server.Services] names it,
// and so does a line in the log.
func (m *Method[A, R]) Handle(s *Server, f func(ctx context.Context, arg A) (R, error)) error {
	kind := reflect.TypeFor[A]().Kind()
	return s.handle(&method{
		id: m.id, kind: Unary, nilable: kind == reflect.Pointer || kind == reflect.Interface,
		arg: reflect.TypeFor[A](), reply: reflect.TypeFor[R](), replyPtr: reflect.TypeFor[*R](),
		handler: f, sentinels: sentinelsOf(&m.config),
		typed: func(ctx context.Context, arg, reply any) error {
			a, _ := arg.(A) // nil, for an A that is an interface
			r, err := f(ctx, a)
			*reply.(*R) = r
			return err
		},
	})
}

// Call calls the method on dest and waits for the reply, under the rules of
// [Client.CallContext]: dest may be empty or the host's own ID for a local
// call, the reply is there beside a method's error too, and when ctx ends Call
// returns at once. opts hold for this call; those of the method and of the
// client hold where they say nothing.
func (m *Method[A, R]) Call(ctx context.Context, c *Client, dest peer.ID, arg A, opts ...CallOption) (R, error) {
	f := &typedFrame[A, R]{arg: arg}
	if left, err := c.callTyped(ctx, dest, &m.id, &m.found, m.config.calls, opts, f); !left {
		return f.reply, err
	} else {
		var none R // the frame is the method's still
		return none, err
	}
}

// typedFrame is a localFrame in one allocation. It is the method's until that
// has returned, and the caller's afterwards.
type typedFrame[A, R any] struct {
	localContext
	arg   A
	reply R
}

func (f *typedFrame[A, R]) values() (arg, reply any) { return f.arg, &f.reply }

func (f *typedFrame[A, R]) context() *localContext { return &f.localContext }

func (f *typedFrame[A, R]) receive(call *servedCall) (err error) {
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

func (f *typedFrame[A, R]) invoke(ctx context.Context, call *servedCall) (err error) {
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
		setReply(reflect.ValueOf(&f.reply).Elem(), reflect.ValueOf(r).Elem())
	}
}

// Info describes the method as it is declared. LocalOnly is nil.
func (m *Method[A, R]) Info() MethodInfo { return methodInfo[A, R](m.id, Unary) }

func methodInfo[A, R any](id ServiceID, kind Kind) MethodInfo {
	return MethodInfo{Name: id.Method, Kind: kind, Args: reflect.TypeFor[A](), Reply: reflect.TypeFor[R]()}
}

// callEach is call of a method value, with options that are settled.
func (c *Client) callEach(ctx context.Context, o *callConfig, dest peer.ID, id ServiceID, arg, reply any) error {
	call := c.newUnary(o, dest, id, arg, reply)
	call.typed = true
	err := c.do(ctx, call)
	call.release(err)
	return err
}
