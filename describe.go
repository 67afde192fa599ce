package rpc

import (
	"context"
	"fmt"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// WithDescriptions says whether a server describes its methods to clients that
// ask (package describe): their kinds and the shapes of their types. Default
// false. Who may ask is for authorization to say, as of any method (the service
// is describe.Service), and a caller is told nothing of methods that it may
// not call.
func WithDescriptions(on bool) ServerOption {
	return func(s *Server) { s.describes = on }
}

// describer describes the types of this program.
type describer = shape.Describer[reflect.Type]

type describeRequest = shape.Request[ServiceID]

// registerDescriptions makes the server describe itself.
func (s *Server) registerDescriptions() {
	err := s.handle(&method{
		id: ServiceID{shape.Service, "Describe"}, kind: Unary,
		arg: reflect.TypeFor[describeRequest](), reply: reflect.TypeFor[shape.Description](), replyPtr: reflect.TypeFor[*shape.Description](),
		typed: func(ctx context.Context, arg, reply any) (err error) {
			*reply.(*shape.Description), err = s.describe(ctx, arg.(describeRequest))
			return err
		},
	})
	if err != nil {
		panic(err) // the server is new
	}
}

func (s *Server) describe(ctx context.Context, r describeRequest) (shape.Description, error) {
	if n := len(r.Methods); n > shape.MaxDescribed {
		return shape.Description{}, &Error{Code: codes.InvalidArgument, Message: fmt.Sprintf("rpc: %d methods asked about, and %d may be at once", n, shape.MaxDescribed)}
	}
	d := describer{Rules: codec.Types}
	for _, id := range r.Methods {
		d.Methods = append(d.Methods, s.describeMethod(ctx, &d, id))
	}
	return d.Description, nil
}

func (s *Server) describeMethod(ctx context.Context, d *describer, id ServiceID) shape.Method {
	if len(id.String()) > MaxServiceIDLength {
		return shape.Method{State: shape.NoService} // which nobody is asked about in a call
	}
	if c := servedOf(ctx); s.authorize != nil && (c == nil || c.isRemote()) {
		if c == nil || !s.authorize(c.sender(), id.Name, id.Method) {
			return shape.Method{State: shape.Denied}
		}
	}
	m := s.lookup(id.Name, id.Method)
	switch {
	case m == nil && !s.serves(id.Name):
		return shape.Method{State: shape.NoService}
	case m == nil:
		return shape.Method{State: shape.Absent}
	}
	described := d.Method(uint8(m.kind), m.arg, m.reply)
	if err := m.localOnly(); err != nil {
		described.LocalOnly = shape.Trimmed(err.Error())
	}
	return described
}
