// Package call is what crosses between the storeys: a call and its carrier on the
// client's side, a served call on the server's, and a fault, which is what the
// library says of a call that failed.
package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// ID names a method.
type ID struct{ Name, Method string }

// String returns "Name.Method".
func (id ID) String() string { return id.Name + "." + id.Method }

// MaxIDLength is the longest "Name.Method", in bytes.
const MaxIDLength = 256

// ServiceName is what the library's streams are called with libp2p's resource
// manager.
const ServiceName = "libp2p.gorpc"

// Origin says where an error came from, in v0.6's numbers.
type Origin uint8

// The origins.
const (
	OfMethod Origin = iota
	OfServer
	OfClient
	OfAuthorization
)

// Class is the kind of cause that a program can ask a fault for.
type Class uint8

// The classes, beside that of a limit, which [Fault].Limit names.
const (
	NoClass   Class = iota
	Dial            // there was no stream to the peer
	Transport       // the stream or the session broke, or the peer is silent
)

// Advice is what the program can do about a fault. Its words depend on how the
// program made the call.
type Advice uint8

// What there is to advise.
const (
	NoAdvice    Advice = iota
	PassValue          // of the type that the method takes
	PassPointer        // to the type that the method replies with
	UseUnary           // the method is unary
	UseStream          // the method is streaming
)

// Fault is an error that the library makes, as a value: the root renders it, in
// one place, for the program or for the wire. A Fault is never changed; its
// methods return copies.
type Fault struct {
	Origin Origin
	Code   codes.Code
	What   string // the sentence, without names, limit and advice
	Naming bool   // What names the peer already
	Words  string // v0.6's words for it, in place of What

	Limit  string // the option that sets the limit that was met, or Libp2p
	SetBy  string // the clause that says so
	Advice Advice
	Into   string // with PassPointer: the type of the caller's pointer
	Also   string // more about it, in parentheses

	Takes  string // the type that the method takes, if the argument does not fit
	Misfit string // why it does not decode, if it does not

	Wait   time.Duration // how long to wait before the call is made again
	Class  Class
	Unsent bool  // the request has certainly not reached the method
	Cause  error // what errors.Is and errors.As may find
	Ended  error // the error of the call's own context, if that has ended
}

// Libp2p is the Limit of libp2p's resource manager.
const Libp2p = "libp2p"

// Fail makes a fault. The text is formatted as by fmt.Errorf, %w included.
func Fail(o Origin, c codes.Code, format string, args ...any) *Fault {
	err := fmt.Errorf(format, args...)
	f := &Fault{Origin: o, Code: c, What: err.Error()}
	if cause := errors.Unwrap(err); cause != nil {
		f.Cause = Masked(cause)
	}
	return f
}

// Error is for logs; programs get the fault as the root renders it.
func (f *Fault) Error() string {
	if f.Words != "" {
		return f.Words
	}
	return f.What + f.SetBy + f.Also
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// Is makes errors.Is find the context errors that the code stands for.
func (f *Fault) Is(target error) bool {
	return f.Code == codes.Canceled && target == context.Canceled ||
		f.Code == codes.DeadlineExceeded && f.Limit == "" && target == context.DeadlineExceeded
}

// Limited says which option sets the limit, and names it in the text.
func (f *Fault) Limited(option string) *Fault { return f.LimitedBy(option, "") }

// LimitedBy is Limited with whose option it is: "client" or "server".
func (f *Fault) LimitedBy(option, whose string) *Fault {
	if whose != "" {
		whose = " of the " + whose
	}
	g := f.Over(option)
	g.SetBy = "; " + option + whose + " sets it"
	return g
}

// Over is Limited for a text that names the option already.
func (f *Fault) Over(option string) *Fault {
	g := *f
	g.Limit = option
	return &g
}

// LimitedByLibp2p says which of libp2p's limits it is.
func (f *Fault) LimitedByLibp2p(which string) *Fault {
	g := f.Over(Libp2p)
	g.SetBy = "; " + which
	return g
}

// Of sets the class.
func (f *Fault) Of(c Class) *Fault {
	g := *f
	g.Class = c
	return &g
}

// Named says that the text names the peer.
func (f *Fault) Named() *Fault {
	g := *f
	g.Naming = true
	return &g
}

// NotSent says whether the request has certainly not reached the method.
func (f *Fault) NotSent(certain bool) *Fault {
	g := *f
	g.Unsent = certain
	return &g
}

// Advised sets the advice.
func (f *Fault) Advised(a Advice) *Fault {
	g := *f
	g.Advice = a
	return &g
}

// With appends more about the fault to its text.
func (f *Fault) With(text string) *Fault {
	g := *f
	g.Also += " (" + text + ")"
	return &g
}

// Because is With the text of err, which becomes the cause.
func (f *Fault) Because(err error) *Fault {
	g := f.With(err.Error())
	g.Cause = err
	return g
}

// FaultOf returns the fault in err's chain, or nil.
func FaultOf(err error) *Fault {
	if err == nil {
		return nil // without the allocation
	}
	return faultOf(err)
}

func faultOf(err error) *Fault {
	var f *Fault
	errors.As(err, &f)
	return f
}

// IsFault reports whether the caller is to be told err, rather than that a stream
// or a channel has stopped: it is a fault, an answer of the server, or the error of
// an interceptor that has seen an item.
func IsFault(err error) bool {
	return FaultOf(err) != nil || err != nil && (errors.As(err, new(*Refusal)) || errors.As(err, new(*flow.ItemError)))
}
