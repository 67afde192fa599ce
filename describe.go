package rpc

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// WithDescriptions says whether a server describes its methods to clients that
// ask (package describe): their kinds, the shapes of their types, limits, and the
// lines of documentation that [MethodConfig] has. Default false. Who may ask is for
// authorization to say, as of any method (the service is describe.ServiceName), and a
// caller is told nothing of methods that it may not call. Authorization is asked about
// each method, for the caller, when all are described.
func WithDescriptions(on bool) ServerOption {
	return func(s *Server) { s.describes = on }
}

// describer describes the types of this program.
type describer = shape.Describer[reflect.Type]

type describeRequest = shape.Request[ServiceID]

// registerDescriptions makes the server describe itself.
func (s *Server) registerDescriptions() {
	err := s.handle(&method{
		id: ServiceID{shape.ServiceName, "Describe"}, kind: Unary,
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
	d := describer{Rules: codec.Types}
	if r.All {
		s.describeAll(&d, func(id ServiceID) bool { return s.mayCall(ctx, id) })
		return d.Description, nil
	}
	if n := len(r.Methods); n > shape.MaxDescribed {
		return shape.Description{}, &Error{Code: codes.InvalidArgument, Message: fmt.Sprintf("rpc: %d methods asked about, and %d may be at once", n, shape.MaxDescribed)}
	}
	for _, id := range r.Methods {
		d.Methods = append(d.Methods, s.describeMethod(ctx, &d, id))
	}
	return d.Description, nil
}

func (s *Server) describeMethod(ctx context.Context, d *describer, id ServiceID) shape.Method {
	if len(id.String()) > MaxServiceIDLength {
		return shape.Method{State: shape.NoService} // which nobody is asked about in a call
	}
	if !s.mayCall(ctx, id) {
		return shape.Method{State: shape.Denied}
	}
	m := s.lookup(id.Name, id.Method)
	switch {
	case m == nil && !s.serves(id.Name):
		return shape.Method{State: shape.NoService}
	case m == nil:
		return shape.Method{State: shape.Absent}
	}
	return d.Method(uint8(m.kind), m.arg, m.reply)
}

// mayCall reports whether the caller that asks may call a method. Local calls are
// not authorized.
func (s *Server) mayCall(ctx context.Context, id ServiceID) bool {
	c := servedOf(ctx)
	if c == nil { // an interceptor has replaced the context
		return s.authorize == nil && s.allows("", id)
	}
	return !c.isRemote() || s.allows(c.sender(), id)
}

// describeAll describes what the caller may call, but for the descriptions.
func (s *Server) describeAll(d *describer, may func(ServiceID) bool) {
	services := s.registry.now.Load().services
	for _, name := range slices.Sorted(maps.Keys(services)) {
		before := len(d.Methods)
		for _, method := range slices.Sorted(maps.Keys(services[name].methods)) {
			m := services[name].methods[method]
			if name == shape.ServiceName || !may(m.id) {
				continue
			}
			if d.More = len(d.Methods) == shape.MaxAll; d.More {
				return
			}
			described := d.Method(uint8(m.kind), m.arg, m.reply)
			described.Service, described.Name = name, method
			c := m.rules.Config()
			described.Doc = shape.Line(c.Doc)
			described.Limits = shape.Limits{Timeout: c.Timeout, MessageSize: c.MessageSize, CallsPerPeer: c.CallsPerPeer, Rate: c.Rate, Burst: c.Burst}
			d.Methods = append(d.Methods, described)
		}
		if doc := s.configs.Doc(call.ID{Name: name}); doc != "" && len(d.Methods) > before {
			d.Services = append(d.Services, shape.Service{Name: name, Doc: shape.Line(doc)})
		}
	}
}

// Packages describe and debug are above this one.
func init() {
	shape.OfServer = func(server any) shape.Description {
		d := describer{Rules: codec.Types}
		server.(*Server).describeAll(&d, func(ServiceID) bool { return true })
		return d.Description
	}
	admit.Guard = func(server any, service string, may func(peer.ID) bool) { server.(*Server).guards.Set(service, may) }
}
