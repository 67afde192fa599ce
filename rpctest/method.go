package rpctest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Every is the number of calls that there will ever be, for the scripts of a
// [Method].
const Every = math.MaxInt

// Method is one method of a [Server], for a test to script what happens to its
// calls and to look at them.
//
// Scripts are carried out in the order in which they were given, each for n
// calls; a call after the last goes to the method. They work for mocked methods
// and for those of receivers, unary and streaming, and may be given while calls
// are under way, for those to come.
type Method struct {
	server *Server
	id     rpc.ServiceID
}

// Method returns the named method, whether it is there yet or not.
func (s *Server) Method(service, method string) *Method {
	return &Method{s, rpc.ServiceID{Name: service, Method: method}}
}

// step is what happens to the next calls of a method.
type step struct {
	left int
	run  func(ctx context.Context, next func() error) error
}

func (m *Method) then(n int, run func(ctx context.Context, next func() error) error) {
	m.server.t.Helper()
	if n <= 0 {
		m.server.t.Fatalf("rpctest: a script of %v for %d calls", m.id, n)
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	m.server.scripts[m.id] = append(m.server.scripts[m.id], &step{n, run})
}

// Fail makes the next n calls end with err, without reaching the method. Over
// [Pair] err travels as any method's error: to be found by errors.Is it has to
// be declared ([rpc.CallErrors]) by the method value that handles the method, or
// for the server ([rpc.WithServerErrors]).
func (m *Method) Fail(n int, err error) {
	m.server.t.Helper()
	m.then(n, func(context.Context, func() error) error { return err })
}

// Panic makes the next n calls panic with v, instead of reaching the method.
// Their callers get an error with [codes.Internal].
func (m *Method) Panic(n int, v any) {
	m.server.t.Helper()
	m.then(n, func(context.Context, func() error) error { panic(v) })
}

// Block makes the next n calls wait until their context ends, and then end with
// its error: a method that takes for ever and heeds its cancellation.
func (m *Method) Block(n int) {
	m.server.t.Helper()
	m.then(n, func(ctx context.Context, _ func() error) error { return m.server.wait(ctx, nil) })
}

// Hold makes the next n calls wait, before they reach the method, until release
// is called: a method that is slow. A call whose context ends before does not
// reach the method, and ends with the context's error. release may be called
// several times.
func (m *Method) Hold(n int) (release func()) {
	m.server.t.Helper()
	released := make(chan struct{})
	m.then(n, func(ctx context.Context, next func() error) error {
		if err := m.server.wait(ctx, released); err != nil {
			return err
		}
		return next()
	})
	return sync.OnceFunc(func() { close(released) })
}

// Reset forgets the scripts, for calls to come.
func (m *Method) Reset() {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	delete(m.server.scripts, m.id)
}

// errEnded ends what nobody can release any more.
var errEnded = errors.New("rpctest: the test has ended")

func (s *Server) wait(ctx context.Context, released <-chan struct{}) error {
	select {
	case <-released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return errEnded
	}
}

// scripted is the interceptor that carries out scripts.
func (s *Server) scripted(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		if run := s.nextStep(call.ID()); run != nil {
			return run(ctx, func() error { return next(ctx, call) })
		}
		return next(ctx, call)
	}
}

func (s *Server) nextStep(id rpc.ServiceID) func(context.Context, func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	steps := s.scripts[id]
	if len(steps) == 0 {
		return nil
	}
	st := steps[0]
	if st.left--; st.left == 0 {
		s.scripts[id] = steps[1:]
	}
	return st.run
}

// Calls returns the calls of the method so far, in the order in which they
// came.
func (m *Method) Calls() []Call { return m.of(m.server.Calls()) }

// Wait waits until n calls of the method have come and returns all that have.
// It fails the test at once if that takes more than 10 seconds.
func (m *Method) Wait(n int) []Call {
	m.server.t.Helper()
	all := m.server.Until(fmt.Sprintf("%v is called, %d times in all", m.id, n),
		func(all []Call) bool { return len(m.of(all)) >= n })
	return m.of(all)
}

// WaitDone waits until n calls of the method have ended and returns all that
// have. It fails the test at once if that takes more than 10 seconds.
func (m *Method) WaitDone(n int) []Call {
	m.server.t.Helper()
	all := m.server.Until(fmt.Sprintf("calls of %v end, %d in all", m.id, n),
		func(all []Call) bool { return len(done(m.of(all))) >= n })
	return done(m.of(all))
}

func (m *Method) of(all []Call) (calls []Call) {
	for _, c := range all {
		if c.Service == m.id.Name && c.Method == m.id.Method {
			calls = append(calls, c)
		}
	}
	return calls
}

func done(all []Call) (calls []Call) {
	for _, c := range all {
		if c.Done {
			calls = append(calls, c)
		}
	}
	return calls
}
