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

// Setup is a client, the server that it calls, and where.
type Setup struct {
	Client *rpc.Client
	Server *rpc.Server
	Dest   peer.ID
	Sender peer.ID // whom the server takes the client for
	Host   host.Host
}

// words are an error's, whichever peer it names.
func (s Setup) Words(err error) string {
	return strings.ReplaceAll(fmt.Sprint(err), s.Dest.String(), "DEST")
}

// Options configure both sides of a setup.
type Options struct {
	Server []rpc.ServerOption
	Client []rpc.ClientOption
}

// Transport is a way in which a call is carried.
type Transport struct {
	Name   string
	Local  bool
	Chosen []rpc.ClientOption // for it to be taken
}

// newClient returns a client at h, where server is, that is for the caller to
// close.
func (tr Transport) NewClient(h host.Host, server *rpc.Server, opts ...rpc.ClientOption) *rpc.Client {
	opts = slices.Concat(tr.Chosen, opts)
	if tr.Local {
		return rpc.NewClientWithServer(h, Protocol, server, opts...)
	}
	return rpc.NewClient(h, Protocol, opts...)
}

func (tr Transport) Setup(t testing.TB, o Options) Setup {
	a := NewHost(t)
	b := a
	if !tr.Local {
		b = NewHost(t)
		Connect(t, a, b)
	}
	s := rpc.NewServer(b, Protocol, append([]rpc.ServerOption{Quiet}, o.Server...)...)
	c := tr.NewClient(a, s, o.Client...)
	CloseAfter(t, c, s)
	return Setup{c, s, b.ID(), a.ID(), a}
}

// client returns a client at h whose calls are carried that way.
func (tr Transport) Client(t testing.TB, h host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := tr.NewClient(h, nil, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Transports are all of them. Every behaviour is tested over each.
var Transports = []Transport{
	{Name: "local", Local: true},
	{Name: "wire", Chosen: []rpc.ClientOption{rpc.WithClientSessions(false)}},
	{Name: "session", Chosen: []rpc.ClientOption{rpc.WithClientSessions(true)}},
}

// OverAll runs f over every transport at once, with the same svc registered as
// "Svc": one that tells of its calls would tell one transport of another's. For
// those there is forEachTransport.
func OverAll(t *testing.T, svc any, o Options, f func(*testing.T, Setup)) {
	t.Helper()
	for _, tr := range Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, o)
			if err := s.Server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			f(t, s)
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

// ForEachTransport is overAll for services and options that are not shared.
func ForEachTransport(t *testing.T, f func(t *testing.T, with func(svc any, o Options) Setup)) {
	t.Helper()
	for _, tr := range Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			f(t, func(svc any, o Options) Setup {
				s := tr.Setup(t, o)
				if err := s.Server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

// Pair is a local and a wire setup, for what must be the same over both.
func Pair(t *testing.T, svc any, o Options) (local, wire Setup) {
	t.Helper()
	var all []Setup
	for _, tr := range Transports[:2] {
		s := tr.Setup(t, o)
		if err := s.Server.RegisterName("Svc", svc); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all[0], all[1]
}

// WireClient returns a client whose every call has a stream of its own.
func WireClient(t testing.TB, a host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClient(a, Protocol, append([]rpc.ClientOption{rpc.WithClientSessions(false)}, opts...)...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Client returns a client as users have it.
func Client(t testing.TB, h host.Host, opts ...rpc.ClientOption) *rpc.Client {
	c := rpc.NewClient(h, Protocol, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// LocalOnly is a client and its server, without a host.
func LocalOnly(t testing.TB, o Options) (*rpc.Client, *rpc.Server) {
	s := rpc.NewServer(nil, "", append([]rpc.ServerOption{Quiet}, o.Server...)...)
	c := rpc.NewClientWithServer(nil, "", s, o.Client...)
	CloseAfter(t, c, s)
	return c, s
}
