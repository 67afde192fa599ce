package rpctest

import (
	"context"
	"reflect"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Typed is a method value that functions of type F serve: an [rpc.Method], an
// [rpc.ServerStream], an [rpc.ClientStream], or an [rpc.Duplex]. Programs have no use
// for other types of it.
type Typed[F any] interface {
	ID() rpc.ServiceID
	Handle(s *rpc.Server, f F) error
}

// Handle has f serve a method value, as [Server.Mock] does functions for names:
// the compiler sees to it that f has the method's types. It returns the method,
// to script and to look at.
//
//	pin := rpctest.Handle(server, api.Pin, func(ctx context.Context, c Cid) (Status, error) {
//		return Pinned, nil
//	})
//	pin.Fail(1, err)
//
// It fails the test at once if f is nil, or if the service has a method of that
// name. A panic in f fails the test, as that of a function of Mock does. What
// typed streams are sent is not recorded in [Call.Items].
func Handle[F any](s *Server, m Typed[F], f F) *Method {
	s.t.Helper()
	if v := reflect.ValueOf(f); v.Kind() == reflect.Func {
		if v.IsNil() {
			s.t.Fatalf("rpctest: the function for %v is nil", m.ID())
		}
		f, _ = s.guarded(m.ID(), v.Type(), v.Call).Interface().(F)
	}
	if err := m.Handle(s.Server, f); err != nil {
		s.t.Fatalf("rpctest: %v", err)
	}
	return s.Method(m.ID().Name, m.ID().Method)
}

// HandleReply has a unary method value take any argument and reply with r.
func HandleReply[A, R any](s *Server, m *rpc.Method[A, R], r R) *Method {
	s.t.Helper()
	return Handle(s, m, func(context.Context, A) (R, error) { return r, nil })
}
