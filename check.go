package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// TypedMethod is a [Method], a [ServerStream], a [ClientStream] or a [Duplex].
type TypedMethod interface {
	ID() ServiceID
	types() (kind Kind, arg, reply reflect.Type)
}

func (m *Method[A, R]) types() (Kind, reflect.Type, reflect.Type) {
	return Unary, reflect.TypeFor[A](), reflect.TypeFor[R]()
}

func (m *ServerStream[A, R]) types() (Kind, reflect.Type, reflect.Type) { return streamTypes[A, R]() }

func (m *ClientStream[A, R]) types() (Kind, reflect.Type, reflect.Type) { return streamTypes[A, R]() }

func (m *Duplex[A, R]) types() (Kind, reflect.Type, reflect.Type) { return streamTypes[A, R]() }

func streamTypes[A, R any]() (Kind, reflect.Type, reflect.Type) {
	return Streaming, reflect.TypeFor[A](), reflect.TypeFor[R]()
}

// CheckReport is what [Client.Check] found, method by method.
type CheckReport struct {
	Peer    peer.ID
	Methods []CheckedMethod // in the order in which they were asked about
}

// CheckedMethod is what [Client.Check] found about one method. A problem makes
// calls fail, or lose or misread what they carry. A note is a difference that
// programs of different versions may have.
type CheckedMethod struct {
	Method   ServiceID
	Problems []string
	Notes    []string
}

// Check compares the methods, as this program declares them, with what the
// server on dest offers, in one call, and reports the differences in words.
// The server must have [WithDescriptions] on, and allow the caller the method
// Describe of the service [DescriptionService]: the error says if it does not.
// A report with problems is no error; see [CheckReport.Err]. At most 1,024
// methods are checked at once. dest and ctx mean what they do for a call.
//
// Problems are:
//   - a method that is not there, may not be called, or is of the other kind
//     (of streams, the three typed ones and those with channels are one kind)
//   - a type with a part that cannot travel: calls fail in which that is not nil
//     or zero
//   - a value that is written in another way than the reader takes: a number for
//     a string, a list for a struct, a float for an integer, ...
//   - a type with a binary form of its own (MarshalBinary) for another such type,
//     by their names in Go
//   - structs of which each has fields that the other lacks: one was renamed, or
//     they are not the same struct
//   - a struct written as an array (the codec's toarray) whose fields have other
//     names at the same places in the reader
//
// Notes are:
//   - a field that one side has and the other lacks: it was added. The reader
//     drops it, or keeps its zero value
//   - a number of fewer bits, or without a sign, at the reader: large or negative
//     values fail
//   - lengths of arrays that differ
//   - bytes for a type with a binary form, and the other way round
//
// No difference at all are pointers and what they point to, strings and bytes,
// names of Go types, omitempty, integers that are read into more bits or as
// floats, and whatever is read into an interface{} or written from one.
func (c *Client) Check(ctx context.Context, dest peer.ID, methods ...TypedMethod) (CheckReport, error) {
	report := CheckReport{Peer: dest, Methods: make([]CheckedMethod, len(methods))}
	if dest == "" {
		report.Peer = c.id
	}
	if len(methods) > maxDescribed {
		return CheckReport{}, fail(describeMethod.id, "", CodeInvalidArgument, "%d methods to check, and %d may be at once", len(methods), maxDescribed)
	}
	var request describeRequest
	var own describer
	for i, m := range methods {
		request.Methods = append(request.Methods, m.ID())
		report.Methods[i].Method = m.ID()
		kind, arg, reply := m.types()
		own.Methods = append(own.Methods, own.Method(uint8(kind), arg, reply))
	}
	theirs, err := describeMethod.Call(ctx, c, dest, request)
	if err != nil {
		return CheckReport{}, undescribed(err)
	}
	if err := theirs.Valid(len(methods)); err != nil {
		return CheckReport{}, fail(describeMethod.id, "", CodeInternal, "peer %v sends a bad description: %w", report.Peer, err)
	}
	left := shape.MaxCompared
	for i, m := range methods {
		compareMethods(&report.Methods[i], m, &own.Description, &theirs, i, &left)
	}
	return report, nil
}

// undescribed says how to make a server describe itself.
func undescribed(err error) error {
	e, own := err.(*Error)
	if !own || e.Code != CodeUnimplemented || e.kind != ServerErr {
		return err
	}
	hint := *e
	hint.Message += "; the server does not describe its methods: WithDescriptions makes it"
	return &hint
}

// Err returns nil if there are no problems, and otherwise an error that lists
// them.
func (r CheckReport) Err() error {
	var errs []error
	for _, m := range r.Methods {
		for _, p := range m.Problems {
			errs = append(errs, fmt.Errorf("rpc: %v: peer %v: %s", m.Method, r.Peer, p))
		}
	}
	return errors.Join(errs...)
}

// String lists what was found, one a line.
func (r CheckReport) String() string {
	var b strings.Builder
	for _, m := range r.Methods {
		if len(m.Problems)+len(m.Notes) == 0 {
			fmt.Fprintf(&b, "%v: fits\n", m.Method)
		}
		for _, p := range m.Problems {
			fmt.Fprintf(&b, "%v: problem: %s\n", m.Method, p)
		}
		for _, n := range m.Notes {
			fmt.Fprintf(&b, "%v: note: %s\n", m.Method, n)
		}
	}
	return b.String()
}

// describer describes the types of this program.
type describer = shape.Describer[reflect.Type, codec.Running]

// compareMethods fills in what is to be said of the i-th method.
func compareMethods(into *CheckedMethod, m TypedMethod, own, theirs *shape.Description, i int, left *int) {
	problem := func(format string, args ...any) { into.Problems = append(into.Problems, fmt.Sprintf(format, args...)) }
	kind, arg, reply := m.types()
	if err := codec.Partly(arg); err != nil {
		problem("the argument's %v", err)
	}
	if err := codec.Partly(reply); err != nil {
		problem("the reply's %v", err)
	}
	a, b := own.Methods[i], theirs.Methods[i]
	switch {
	case b.State == shape.NoService:
		problem("the server has no service of this name")
	case b.State == shape.Absent:
		problem("the server's service has no method of this name")
	case b.State == shape.Denied:
		problem("the server does not allow this client to call the method")
	case b.State == shape.TooLarge || a.State == shape.TooLarge:
		problem("the types are too large to be compared")
	case b.State != shape.Here:
		problem("the server says of the method what is not understood: %s", shape.Word(b.State))
	case Kind(b.Kind) != kind:
		problem("the method is %v at the server, and %v here", Kind(b.Kind), kind)
	}
	if b.State != shape.Here {
		return
	}
	if b.LocalOnly != "" {
		problem("a part of the server's types stays local: %s", shape.Word(b.LocalOnly))
	}
	if Kind(b.Kind) == kind && a.State == shape.Here {
		found := shape.Findings{Problems: into.Problems, Notes: into.Notes}
		shape.Compare(&found, shape.Direction{From: own, To: theirs, Writer: "this side", Reader: "the server", Left: left}, "argument", a.Args, b.Args)
		shape.Compare(&found, shape.Direction{From: theirs, To: own, Writer: "the server", Reader: "this side", Left: left}, "reply", b.Reply, a.Reply)
		into.Problems, into.Notes = found.Problems, found.Notes
	}
}

// DescriptionService is the name of the service that [WithDescriptions]
// registers. It has one method, Describe.
const DescriptionService = "rpc.Descriptions"

// WithDescriptions says whether a server describes its methods to clients that
// ask ([Client.Check]): their kinds and the shapes of their types. Default
// false. Who may ask is for authorization to say, as of any method (the service
// is [DescriptionService]), and a caller is told nothing of methods that it may
// not call.
func WithDescriptions(on bool) ServerOption {
	return func(s *Server) { s.describes = on }
}

// describeRequest asks about methods.
type describeRequest struct{ Methods []ServiceID }

// maxDescribed is how many methods one request may be about.
const maxDescribed = 1 << 10

// registerDescriptions makes the server describe itself.
func (s *Server) registerDescriptions() {
	err := s.handle(&method{
		id: describeMethod.id, kind: Unary,
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

var describeMethod = NewMethod[describeRequest, shape.Description](DescriptionService, "Describe")

func (s *Server) describe(ctx context.Context, r describeRequest) (shape.Description, error) {
	if n := len(r.Methods); n > maxDescribed {
		return shape.Description{}, &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf("rpc: %d methods asked about, and %d may be at once", n, maxDescribed)}
	}
	var d describer
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
