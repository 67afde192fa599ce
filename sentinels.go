package rpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CallErrors gives names to errors, by which they travel: if a method returns
// one of them, or an error that wraps one, errors.Is finds it in the error that
// the caller gets, as it would in one process. Both sides declare it. Given to
// [NewMethod] and its like it does so for both ends at once:
//
//	var ErrNoSuchPin = errors.New("no such pin")
//
//	var Unpin = rpc.NewMethod[cid.Cid, struct{}]("Pins", "Unpin",
//		rpc.CallErrors(map[string]error{"no-such-pin": ErrNoSuchPin}))
//
//	_, err := Unpin.Call(ctx, client, dest, c)
//	if errors.Is(err, ErrNoSuchPin) {
//		...
//	}
//
// For methods that are served by a receiver, or called by their names, a server
// declares them by [WithServerErrors] and a client by [WithCallOptions]. They
// add up. The text of the error, its code and its details stay what the method
// made them.
//
// A peer chooses among the names that this side has declared for the call: one
// that has not been declared is passed over, and so is one of a v0.6 peer. An
// error is told by the name only to the next caller: a method that passes on
// the error of another call passes on what it has itself declared.
//
// It panics if an error is nil, or if a name is empty, has more than 64 bytes
// or holds a comma.
func CallErrors(named map[string]error) CallOption {
	declared := newSentinels(named)
	return func(o *callConfig) { o.sentinels = slices.Concat(o.sentinels, declared) }
}

// WithServerErrors names errors that any method of a server may return, under
// the rules of [CallErrors]. It may be given several times.
func WithServerErrors(named map[string]error) ServerOption {
	declared := newSentinels(named)
	return func(s *Server) { s.sentinels = slices.Concat(s.sentinels, declared) }
}

// sentinels are errors that have been declared, with their names.
type sentinels []sentinel

type sentinel struct {
	name string
	err  error
}

const (
	maxSentinelName = 64
	maxSentinels    = 16 // that one error may be
)

func newSentinels(named map[string]error) sentinels {
	var all sentinels
	for _, name := range slices.Sorted(maps.Keys(named)) {
		switch {
		case name == "" || len(name) > maxSentinelName || strings.Contains(name, ","):
			panic(fmt.Sprintf("rpc: cannot declare an error as %q: a name has 1 to %d bytes and no comma", name, maxSentinelName))
		case named[name] == nil:
			panic(fmt.Sprintf("rpc: cannot declare a nil error as %q", name))
		}
		all = append(all, sentinel{name, named[name]})
	}
	return all
}

// sentinelsOf returns what a method's options declare.
func sentinelsOf(m *methodConfig) sentinels {
	var o callConfig
	for _, opt := range m.calls {
		opt(&o)
	}
	return o.sentinels
}

// namesIn returns the names of those that err is, for the wire.
func (s sentinels) namesIn(names []string, err error) []string {
	for _, d := range s {
		if len(names) < maxSentinels && errors.Is(err, d.err) && !slices.Contains(names, d.name) {
			names = append(names, d.name)
		}
	}
	return names
}

// nameErrors notes which of the declared errors a method has returned.
func (s *Server) nameErrors(call *servedCall, err error) {
	if err == nil || call.Local || len(s.sentinels)+len(call.method.sentinels) == 0 {
		return
	}
	names := s.sentinels.namesIn(call.method.sentinels.namesIn(nil, err), err)
	call.errorNames = strings.Join(names, ",")
}

// recognized gives an error off the wire the declared errors that it is.
func (c *clientCall) recognized(e *Error) {
	if e.names == "" {
		return
	}
	names := strings.SplitN(e.names, ",", maxSentinels+1)
	e.names = ""
	if c.options == nil {
		return
	}
	var is []error
	if e.cause != nil {
		is = append(is, e.cause)
	}
	for _, d := range c.options.sentinels {
		if slices.Contains(names, d.name) {
			is = append(is, d.err)
		}
	}
	if e.cause = errors.Join(is...); len(is) == 1 {
		e.cause = is[0]
	}
}
