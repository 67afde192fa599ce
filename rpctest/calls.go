package rpctest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Call is a call that a [Server] was sent, as far as it has come.
type Call struct {
	// Service and Method name what was called.
	Service, Method string
	// Kind is the form of the call.
	Kind rpc.Kind
	// Peer is who called. It is the server's own ID for a local call, which is
	// empty if the server has no host.
	Peer peer.ID
	// Local is whether the call came from the server's own process.
	Local bool
	// Args is a unary call's argument, the same value that the method was
	// given. nil for a streaming call.
	Args any
	// Items are the arguments of a streaming call that a function of
	// [Server.Mock] was given so far. Those that other methods are given are not
	// recorded.
	Items []any
	// Done is whether the method has returned.
	Done bool
	// Reply is a unary call's reply, not the pointer to it, when it is done.
	Reply any
	// Err is the error of a call that is done: the method's own; an [rpc.Error]
	// with [codes.Internal] if it panicked; or why the call was refused.
	Err error

	itemized bool // Items are all that the method was given
}

// String describes the call in one line.
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.%s(", c.Service, c.Method)
	if c.itemized || len(c.Items) > 0 {
		fmt.Fprintf(&b, "%d items", len(c.Items))
	} else {
		b.WriteString(describeArgs(c.Kind, c.Args, c.Local))
	}
	fmt.Fprintf(&b, ") from %s: ", caller(c.Peer, c.Local))
	switch {
	case !c.Done:
		b.WriteString("under way")
	case c.Err != nil:
		b.WriteString(c.Err.Error())
	default:
		b.WriteString("done")
	}
	return b.String()
}

// record is a Call that still changes, under the server's mutex.
type record struct{ Call }

type recordKey struct{}

// update changes a record and lets those who wait look again.
func (s *Server) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) begin(call *rpc.CallInfo) *record {
	rec := &record{Call{
		Service: call.Service, Method: call.Method, Kind: call.Kind, Peer: call.Peer, Local: call.Local, Args: call.Args,
	}}
	s.update(func() { s.calls = append(s.calls, rec) })
	return rec
}

func (s *Server) end(rec *record, reply any, err error) {
	var value any
	if reply != nil {
		value = reflect.ValueOf(reply).Elem().Interface()
	}
	s.update(func() { rec.Done, rec.Reply, rec.Err = true, value, err })
}

// recorded is the interceptor that notes every call of a method that is there.
func (s *Server) recorded(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		rec, returned := s.begin(call), false
		defer func() {
			if returned {
				return
			}
			r := recover()
			if r == nil {
				s.end(rec, nil, errors.New("the method ended its goroutine"))
				return
			}
			s.end(rec, nil, &rpc.Error{Code: codes.Internal, Message: fmt.Sprint("panic: ", r)})
			panic(r)
		}()
		err := next(context.WithValue(ctx, recordKey{}, rec), call)
		returned = true
		s.end(rec, call.Reply, err)
		return err
	}
}

// refused fails the test for a call that cannot be served. Those that a policy or a
// limit of the server keeps out may be what a test is about.
func (s *Server) refused(_ context.Context, call *rpc.CallInfo, err error) {
	var e *rpc.Error
	missing := rpc.CodeOf(err) == codes.Unimplemented // and unsent, if nothing is registered
	if rpc.IsAuthorizationError(err) || errors.As(err, &e) && e.Unsent() && !missing || call.ID() == (rpc.ServiceID{}) {
		return
	}
	s.end(s.begin(call), nil, err)
	what := fmt.Sprintf("cannot be served: %v", err)
	if missing {
		what = s.missing(call, err)
	}
	s.report.errorf("rpctest: unexpected call of %v, %s\n\tfrom: %s\n\targument: %s",
		call.ID(), what, caller(call.Peer, call.Local), describeArgs(call.Kind, call.Args, call.Local))
}

// missing says what is there in place of what was called.
func (s *Server) missing(call *rpc.CallInfo, err error) string {
	services := s.Services()
	for _, svc := range services {
		if svc.Name != call.Service {
			continue
		}
		var names []string
		for _, m := range svc.Methods {
			if names = append(names, m.Name); m.Name == call.Method {
				return fmt.Sprintf("which is there, but not so: %v", err)
			}
		}
		return fmt.Sprintf("which is not mocked: %s has %s", svc.Name, strings.Join(names, ", "))
	}
	if len(services) == 0 {
		return "and nothing is mocked"
	}
	var names []string
	for _, svc := range services {
		names = append(names, svc.Name)
	}
	return fmt.Sprintf("and no such service is mocked: there are %s", strings.Join(names, ", "))
}

// Calls returns all calls so far, in the order in which they came: done or under
// way, and those that were refused. Calls that authorization kept out are not
// among them.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies()
}

func (s *Server) copies() []Call {
	all := make([]Call, len(s.calls))
	for i, rec := range s.calls {
		all[i] = rec.Call
		all[i].Items = slices.Clone(rec.Items)
	}
	return all
}

// Until waits until cond, which is asked with [Server.Calls] now and whenever a
// call begins, is given an item, or ends, returns true, and returns those
// calls. If that takes more than 10 seconds it fails the test at once, saying
// what was waited for and which calls there were.
func (s *Server) Until(what string, cond func([]Call) bool) []Call {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		s.mu.Lock()
		calls, changed := s.copies(), s.changed
		s.mu.Unlock()
		if cond(calls) {
			return calls
		}
		select {
		case <-changed:
		case <-late.C:
			s.t.Fatalf("rpctest: not within %v: %s; the calls were:%s", patience, what, list(calls))
		}
	}
}

func list(calls []Call) string {
	if len(calls) == 0 {
		return " none"
	}
	var b strings.Builder
	for _, c := range calls {
		b.WriteString("\n\t" + c.String())
	}
	return b.String()
}
