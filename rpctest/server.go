package rpctest

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Server is an [rpc.Server] for a test: it stands in for the components, or the
// peers, that the tested one calls. It serves what the test gives it by
// [Server.Mock] and [Handle], and any call of something else fails the test.
// Receivers and functions can be registered with it as with any server.
//
// All its methods are safe for concurrent use, but those that say that they
// fail the test at once must, as [testing.T.FailNow], be called from the test's
// own goroutine.
type Server struct {
	*rpc.Server

	t        testing.TB
	report   *reporter
	host     host.Host
	protocol protocol.ID
	ended    chan struct{} // closed when the test ends

	mu      sync.Mutex
	calls   []*record
	scripts map[rpc.ServiceID][]*step
	changed chan struct{} // closed and replaced when a call begins or ends
}

// Methods are functions to serve as the methods of a service, by their names.
// Each has one of the two forms of methods:
//
//	func(ctx context.Context, arg A, reply *R) error
//	func(ctx context.Context, args <-chan A, replies chan<- R) error
type Methods map[string]any

// NewServer returns a server for protocol p on h, which is closed when the test
// ends. With a nil host it serves local calls only; see [Local].
//
// It logs to the test. opts may say otherwise, and everything else, except
// that [rpc.WithRefusedFunc] has no effect: the server has its own.
func NewServer(t testing.TB, h host.Host, p protocol.ID, opts ...rpc.ServerOption) *Server {
	t.Helper()
	s := &Server{
		t: t, report: newReporter(t), host: h, protocol: p, ended: make(chan struct{}),
		scripts: make(map[rpc.ServiceID][]*step), changed: make(chan struct{}),
	}
	s.Server = rpc.NewServer(h, p, slices.Concat(
		[]rpc.ServerOption{
			rpc.WithServerLogger(slog.New(slog.NewTextHandler(s.report, nil))),
			rpc.WithServerInterceptors(s.recorded), // sees what all others make of a call
		},
		opts,
		[]rpc.ServerOption{rpc.WithServerInterceptors(s.scripted), rpc.WithRefusedFunc(s.refused)},
	)...)
	t.Cleanup(func() {
		close(s.ended)
		_ = s.Close()
	})
	return s
}

// testProtocol is what [Pair] talks.
const testProtocol protocol.ID = "/rpctest"

// Local returns a server without a host and a client whose every call goes to
// it, whatever its destination. Nothing is encoded, as between the components
// of one peer. Both are closed when the test ends.
func Local(t testing.TB, opts ...rpc.ServerOption) (*rpc.Client, *Server) {
	t.Helper()
	s := NewServer(t, nil, testProtocol, opts...)
	return s.Client(), s
}

// Pair returns a client and a server on two connected [MemoryHosts]: the calls
// of the server's ID are those between peers, in full. Both are closed when
// the test ends. For the calls of the server's own peer, beside those, there is
// [Server.Client].
func Pair(t testing.TB, opts ...rpc.ServerOption) (*rpc.Client, *Server) {
	t.Helper()
	hosts := MemoryHosts(t, 2)
	s := NewServer(t, hosts[1], testProtocol, opts...)
	c := rpc.NewClient(hosts[0], testProtocol)
	t.Cleanup(func() { _ = c.Close() })
	return c, s
}

// Client returns a client on the server's host: its local calls go to s, and
// others to the peers that the host can reach. It is closed when the test ends.
func (s *Server) Client(opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClientWithServer(s.host, s.protocol, s.Server, opts...)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Mock serves the given functions as methods of a service. The methods that
// the test does not need can be left out: a call of one fails the test. Mock
// may be called again for the same service, and for any number of others. It
// fails the test at once if a function has none of the two forms, or if the
// service has a method of that name.
//
// A panic in a function fails the test, beside what the caller sees of it; to
// see how a panic is borne, see [Method.Panic].
func (s *Server) Mock(service string, methods Methods) {
	s.t.Helper()
	failed := false
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if err := s.RegisterFunc(service, name, s.observed(rpc.ServiceID{Name: service, Method: name}, methods[name])); err != nil {
			hint := ""
			if isTyped(reflect.TypeOf(methods[name])) {
				hint = "; what serves a method value is for rpctest.Handle, and not for Mock"
			}
			s.t.Errorf("rpctest: %v%s", err, hint)
			failed = true
		}
	}
	if failed {
		s.t.FailNow()
	}
}

// Reply returns a unary function for [Methods] that takes any A and replies
// with r.
func Reply[A, R any](r R) func(context.Context, A, *R) error {
	return func(_ context.Context, _ A, reply *R) error {
		*reply = r
		return nil
	}
}
