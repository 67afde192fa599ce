// Package describe compares the methods that a program declares with those that a
// server of another version offers, before a call fails.
package describe

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// ServiceName is the name of the service that [rpc.WithDescriptions] registers, for
// policies. It has one method, Describe.
const ServiceName = shape.ServiceName

var describing = rpc.NewMethod[shape.Request[rpc.ServiceID], shape.Description](ServiceName, "Describe")

// Method is a declared method: an [rpc.Method], [rpc.ServerStream],
// [rpc.ClientStream] or [rpc.Duplex].
type Method interface {
	ID() rpc.ServiceID
	Info() rpc.MethodInfo
}

// Report is what [Check] found, method by method.
type Report struct {
	Peer    peer.ID
	Methods []CheckedMethod // in the order in which they were asked about
}

// CheckedMethod is what [Check] found about one method. A problem makes
// calls fail, or lose or misread what they carry. A note is a difference that
// programs of different versions may have.
type CheckedMethod struct {
	Method   rpc.ServiceID
	Problems []string
	Notes    []string
}

// Check compares the methods, as this program declares them, with what the
// server on dest offers, in one call, and reports the differences in words:
// docs/operating.md, "Checking types", has the rules. The server must have
// [rpc.WithDescriptions] on, and allow the caller the method Describe of
// [ServiceName]: the error says if it does not. A report with problems is no error;
// see [Report.Err]. At most 1,024 methods are checked at once. dest and ctx mean
// what they do for a call.
func Check(ctx context.Context, c *rpc.Client, dest peer.ID, methods ...Method) (Report, error) {
	report := Report{Peer: dest, Methods: make([]CheckedMethod, len(methods))}
	if dest == "" {
		report.Peer = c.ID()
	}
	if len(methods) > shape.MaxDescribed {
		return Report{}, &rpc.Error{Code: codes.InvalidArgument, Message: fmt.Sprintf("describe: %d methods to check, and %d may be at once", len(methods), shape.MaxDescribed)}
	}
	var request shape.Request[rpc.ServiceID]
	own := shape.Describer[reflect.Type]{Rules: codec.Types}
	for i, m := range methods {
		request.Methods = append(request.Methods, m.ID())
		report.Methods[i].Method = m.ID()
		is := m.Info()
		own.Methods = append(own.Methods, own.Method(uint8(is.Kind), is.Args, is.Reply))
	}
	theirs, err := describing.Call(ctx, c, dest, request)
	if err != nil {
		return Report{}, undescribed(err)
	}
	if err := theirs.Valid(len(methods), false); err != nil {
		return Report{}, &rpc.Error{Code: codes.Internal, Message: fmt.Sprintf("describe: peer %v sends a bad description: %v", report.Peer, err)}
	}
	left := shape.MaxCompared
	for i, m := range methods {
		compareMethods(&report.Methods[i], m, &own.Description, &theirs, i, &left)
	}
	return report, nil
}

// undescribed says how to make a server describe itself.
func undescribed(err error) error {
	e, own := err.(*rpc.Error)
	if !own || e.Code != codes.Unimplemented || e.Type() != rpc.ServerErr {
		return err
	}
	hint := *e
	hint.Message += "; the server does not describe its methods: WithDescriptions makes it"
	return &hint
}

// Err returns nil if there are no problems, and otherwise an error that lists
// them.
func (r Report) Err() error {
	var errs []error
	for _, m := range r.Methods {
		for _, p := range m.Problems {
			errs = append(errs, fmt.Errorf("%v: peer %v: %s", m.Method, r.Peer, p))
		}
	}
	return errors.Join(errs...)
}

// String lists what was found, one a line.
func (r Report) String() string {
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

// compareMethods fills in what is to be said of the i-th method.
func compareMethods(into *CheckedMethod, m Method, own, theirs *shape.Description, i int, left *int) {
	problem := func(format string, args ...any) { into.Problems = append(into.Problems, fmt.Sprintf(format, args...)) }
	is := m.Info()
	if err := codec.Partly(is.Args); err != nil {
		problem("the argument's %v", err)
	}
	if err := codec.Partly(is.Reply); err != nil {
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
	case rpc.Kind(b.Kind) != is.Kind:
		problem("the method is %v at the server, and %v here", rpc.Kind(b.Kind), is.Kind)
	}
	if b.State != shape.Here {
		return
	}
	if b.LostArgs != "" {
		problem("a part of the server's argument stays local: %s", shape.Word(b.LostArgs))
	}
	if b.LostReply != "" {
		problem("a part of the server's reply stays local: %s", shape.Word(b.LostReply))
	}
	if rpc.Kind(b.Kind) == is.Kind && a.State == shape.Here {
		var found shape.Findings
		shape.Compare(&found, shape.Direction{From: own, To: theirs, Writer: "this side", Reader: "the server", Left: left}, "argument", a.Args, b.Args)
		shape.Compare(&found, shape.Direction{From: theirs, To: own, Writer: "the server", Reader: "this side", Left: left}, "reply", b.Reply, a.Reply)
		into.Problems, into.Notes = append(into.Problems, found.Problems()...), found.Notes()
	}
}
