package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const testProtocol protocol.ID = "/rpc/test"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHost returns a host on an ephemeral TCP port of the loopback.
func newHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	return newHostOn(t, "/ip4/127.0.0.1/tcp/0", opts...)
}

// newHostOn returns a host on the given address.
func newHostOn(t testing.TB, addr string, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append([]libp2p.Option{
		libp2p.ListenAddrStrings(addr), libp2p.DisableRelay(), libp2p.DisableMetrics(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// muxers are addresses, by what makes streams of the connections to them.
var muxers = map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"}

// know makes a able to dial b.
func know(a, b host.Host) { a.Peerstore().AddAddrs(b.ID(), b.Addrs(), peerstore.PermanentAddrTTL) }

func connect(t testing.TB, a, b host.Host) {
	t.Helper()
	know(a, b)
	know(b, a)
	if err := a.Connect(testContext(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// newHosts returns two connected hosts.
func newHosts(t testing.TB, opts ...libp2p.Option) (a, b host.Host) {
	t.Helper()
	a, b = newHost(t, opts...), newHost(t, opts...)
	connect(t, a, b)
	return a, b
}

// testContext ends with the test, and before it would be taken for hung.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var quiet = rpc.WithServerLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// setup is a client, the server that it calls, and where.
type setup struct {
	client *rpc.Client
	server *rpc.Server
	dest   peer.ID
	sender peer.ID // whom the server takes the client for
	host   host.Host
}

// words are an error's, whichever peer it names.
func (s setup) words(err error) string {
	return strings.ReplaceAll(fmt.Sprint(err), s.dest.String(), "DEST")
}

// options configure both sides of a setup.
type options struct {
	server []rpc.ServerOption
	client []rpc.ClientOption
}

// transport is a way in which a call is carried.
type transport struct {
	name   string
	local  bool
	chosen []rpc.ClientOption // for it to be taken
}

// transports are all of them. Every behaviour is tested over each.
var transports = []transport{
	{name: "local", local: true},
	{name: "wire", chosen: []rpc.ClientOption{rpc.WithClientSessions(false)}},
	{name: "session", chosen: []rpc.ClientOption{rpc.WithClientSessions(true)}},
}

// newClient returns a client at h, where server is, that is for the caller to
// close.
func (tr transport) newClient(h host.Host, server *rpc.Server, opts ...rpc.ClientOption) *rpc.Client {
	opts = slices.Concat(tr.chosen, opts)
	if tr.local {
		return rpc.NewClientWithServer(h, testProtocol, server, opts...)
	}
	return rpc.NewClient(h, testProtocol, opts...)
}

func (tr transport) setup(t testing.TB, o options) setup {
	a := newHost(t)
	b := a
	if !tr.local {
		b = newHost(t)
		connect(t, a, b)
	}
	s := rpc.NewServer(b, testProtocol, append([]rpc.ServerOption{quiet}, o.server...)...)
	c := tr.newClient(a, s, o.client...)
	closeAfter(t, c, s)
	return setup{c, s, b.ID(), a.ID(), a}
}

func closeAfter(t testing.TB, c *rpc.Client, s *rpc.Server) {
	t.Cleanup(func() {
		_ = c.Close()
		_ = s.Close()
	})
}

// overAll runs f over every transport at once, with the same svc registered as
// "Svc": one that tells of its calls would tell one transport of another's. For
// those there is forEachTransport.
func overAll(t *testing.T, svc any, o options, f func(*testing.T, setup)) {
	t.Helper()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s := tr.setup(t, o)
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			f(t, s)
		})
	}
}

// overRemote runs f over every transport between hosts.
func overRemote(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	for _, tr := range transports {
		if !tr.local {
			t.Run(tr.name, func(t *testing.T) {
				t.Parallel()
				f(t, tr)
			})
		}
	}
}

// client returns a client at h whose calls are carried that way.
func (tr transport) client(t testing.TB, h host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := tr.newClient(h, nil, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// forEachTransport is overAll for services and options that are not shared.
func forEachTransport(t *testing.T, f func(t *testing.T, with func(svc any, o options) setup)) {
	t.Helper()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			f(t, func(svc any, o options) setup {
				s := tr.setup(t, o)
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

// pair is a local and a wire setup, for what must be the same over both.
func pair(t *testing.T, svc any, o options) (local, wire setup) {
	t.Helper()
	var all []setup
	for _, tr := range transports[:2] {
		s := tr.setup(t, o)
		if err := s.server.RegisterName("Svc", svc); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all[0], all[1]
}

// serve returns a server on b, with svc registered as "Svc".
func serve(t testing.TB, b host.Host, svc any, opts ...rpc.ServerOption) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(b, testProtocol, append([]rpc.ServerOption{quiet}, opts...)...)
	t.Cleanup(func() { _ = s.Close() })
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return s
}

// newClient returns a client whose every call has a stream of its own.
func newClient(t testing.TB, a host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClient(a, testProtocol, append([]rpc.ClientOption{rpc.WithClientSessions(false)}, opts...)...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newClientOf returns a client as users have it.
func newClientOf(t testing.TB, h host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClient(h, testProtocol, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func backgrounds(n int) []context.Context {
	return slices.Repeat([]context.Context{context.Background()}, n)
}

// checkErr checks the kind and code of an error, and what its text names.
func checkErr(t testing.TB, err error, kind rpc.ErrorType, code rpc.Code, names ...string) {
	t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) {
		t.Errorf("no error of the library's: %v", err)
		return
	}
	if e.Type() != kind || rpc.CodeOf(err) != code {
		t.Errorf("kind %v and code %v, not %v and %v: %v", e.Type(), rpc.CodeOf(err), kind, code, err)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("does not name %q: %v", name, err)
		}
	}
}

// errKind is for errors that may be of either side.
func errKind(err error) rpc.ErrorType {
	var e *rpc.Error
	if errors.As(err, &e) {
		return e.Type()
	}
	return rpc.NonRPCErr
}

// Types and methods of the recordings, and of most tests.

type Args struct{ A, B int }

type Quotient struct{ Quo, Rem int }

type Arith struct{}

var errDivide = errors.New("divide by zero")

func (Arith) Multiply(_ context.Context, a *Args, r *int) error {
	*r = a.A * a.B
	return nil
}

func (Arith) Divide(_ context.Context, a Args, r *Quotient) error {
	if a.B == 0 {
		return errDivide
	}
	*r = Quotient{a.A / a.B, a.A % a.B}
	return nil
}

func (Arith) ReplyAndError(_ context.Context, _ int, r *int) error {
	*r = 42
	return errors.New("an error")
}

func (Arith) Divides(_ context.Context, in <-chan Args, out chan<- Quotient) error {
	defer close(out)
	for a := range in {
		if a.B == 0 {
			return errDivide
		}
		out <- Quotient{a.A / a.B, a.A % a.B}
	}
	return nil
}

// Block waits for its context.
func (Arith) Block(ctx context.Context, _ struct{}, _ *struct{}) error {
	<-ctx.Done()
	return ctx.Err()
}

func checkNames(t *testing.T, err error, names ...string) {
	t.Helper()
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}
