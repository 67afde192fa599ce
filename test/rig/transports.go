package rig

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Transport is a way in which a call is carried.
type Transport struct {
	Name   string
	Local  bool
	Chosen []rpc.ClientOption // the client options that select it
}

// The transports.
var (
	Local   = Transport{Name: "local", Local: true}
	Wire    = Transport{Name: "wire", Chosen: []rpc.ClientOption{rpc.WithClientSessions(false)}} // a stream for each call
	Session = Transport{Name: "session", Chosen: []rpc.ClientOption{rpc.WithClientSessions(true)}}
)

// Transports are all of them. Every behaviour is tested over each.
var Transports = []Transport{Local, Wire, Session}

// Client returns a client at h with the library's defaults. It is closed when
// the test ends, as are all that the rig returns.
func Client(t testing.TB, h host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClient(h, Protocol, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Client returns a client at h whose calls are carried that way.
func (tr Transport) Client(t testing.TB, h host.Host, opts ...rpc.ClientOption) *rpc.Client {
	return Client(t, h, slices.Concat(tr.Chosen, opts)...)
}

// ClientWithServer returns a client at h that calls s without the network.
func ClientWithServer(t testing.TB, h host.Host, s *rpc.Server, opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClientWithServer(h, Protocol, s, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// LocalOnly returns a server without a host, and its client.
func LocalOnly(t testing.TB, o Options) (*rpc.Client, *rpc.Server) {
	s := NewServer(t, nil, o.Server...)
	return ClientWithServer(t, nil, s, o.Client...), s
}

// Setup is a client, the server that it calls, and where.
type Setup struct {
	Client *rpc.Client
	Server *rpc.Server
	Dest   peer.ID
	Sender peer.ID // whom the server takes the client for
	Host   host.Host
}

// Words returns the text of an error, the same whichever peer it names.
func (s Setup) Words(err error) string {
	return strings.ReplaceAll(fmt.Sprint(err), s.Dest.String(), "DEST")
}

// Options configure both sides of a setup.
type Options struct {
	Server []rpc.ServerOption
	Client []rpc.ClientOption
}

// Setup returns a client and a server, on one host or on two.
func (tr Transport) Setup(t testing.TB, o Options) Setup {
	a := NewHost(t)
	if tr.Local {
		s := NewServer(t, a, o.Server...)
		return Setup{ClientWithServer(t, a, s, o.Client...), s, a.ID(), a.ID(), a}
	}
	b := NewHost(t)
	Connect(t, a, b)
	s := NewServer(t, b, o.Server...)
	return Setup{tr.Client(t, a, o.Client...), s, b.ID(), a.ID(), a}
}

// With is Setup, with svc registered as "Svc".
func (tr Transport) With(t testing.TB, svc any, o Options) Setup {
	t.Helper()
	s := tr.Setup(t, o)
	if err := s.Server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return s
}

// OverAll runs f over every transport at once, with the same svc registered as
// "Svc". A svc that counts its calls would count those of all transports: use
// ForEachTransport for it.
func OverAll(t *testing.T, svc any, o Options, f func(*testing.T, Setup)) {
	t.Helper()
	ForEachTransport(t, func(t *testing.T, with func(any, Options) Setup) { f(t, with(svc, o)) })
}

// ForEachTransport is OverAll for services and options that are not shared.
func ForEachTransport(t *testing.T, f func(t *testing.T, with func(svc any, o Options) Setup)) {
	t.Helper()
	for _, tr := range Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			f(t, func(svc any, o Options) Setup { return tr.With(t, svc, o) })
		})
	}
}

// OverRemote runs f over every transport between hosts.
func OverRemote(t *testing.T, f func(t *testing.T, tr Transport)) {
	t.Helper()
	for _, tr := range Transports {
		if !tr.Local {
			t.Run(tr.Name, func(t *testing.T) {
				t.Parallel()
				f(t, tr)
			})
		}
	}
}

// Pair is a local and a wire setup, for what must be the same over both.
func Pair(t *testing.T, svc any, o Options) (local, wire Setup) {
	t.Helper()
	return Local.With(t, svc, o), Wire.With(t, svc, o)
}
