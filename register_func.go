package rpc

import (
	"fmt"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/direct"
)

// RegisterFunc makes a function callable as a method of the named service. It
// has one of the two forms of methods:
//
//	func(ctx context.Context, arg A, reply *R) error
//	func(ctx context.Context, args <-chan A, replies chan<- R) error
//
// The service is made if there is none of that name, and may be one of
// [Server.Register], which a function can add to. RegisterFunc returns an error
// if f is nil or of another form, if a name is empty, and if the service has
// that method. It may be called while the server is in use.
func (s *Server) RegisterFunc(service, method string, f any) error {
	m, err := newFuncMethod(service, method, f)
	if err != nil {
		return err
	}
	return s.handle(m)
}

func nilFunction(id ServiceID, f any) error {
	return fmt.Errorf("rpc: cannot register %v: it is a nil %T", id, f)
}

func newFuncMethod(service, name string, f any) (*method, error) {
	m, fn := &method{id: ServiceID{service, name}}, reflect.ValueOf(f)
	switch {
	case service == "" || name == "":
		return nil, fmt.Errorf("rpc: cannot register %T as %q of service %q: both must have a name", f, name, service)
	case fn.Kind() != reflect.Func:
		return nil, fmt.Errorf("rpc: cannot register %v: it is %s, not a function: make it %s or %s",
			m.id, typeName(reflect.TypeOf(f)), unaryForm, streamingForm)
	case fn.IsNil():
		return nil, nilFunction(m.id, f)
	}
	if reason := m.compile(fn.Type()); reason != "" {
		return nil, fmt.Errorf("rpc: cannot register %v, a %T: %s", m.id, f, reason)
	}
	m.fn = direct.Of(reflect.Value{}, fn, m.arg, m.replyPtr, false)
	return m, nil
}
