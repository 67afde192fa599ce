package rig

import (
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// Protocol is the one that the tests speak.
const Protocol protocol.ID = "/rpc/test"

// NewHost returns a host on an ephemeral TCP port of the loopback.
func NewHost(t testing.TB, opts ...libp2p.Option) host.Host {
	t.Helper()
	return NewHostOn(t, "/ip4/127.0.0.1/tcp/0", opts...)
}

// NewHostOn returns a host on the given address.
func NewHostOn(t testing.TB, addr string, opts ...libp2p.Option) host.Host {
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

// NewHosts returns two connected hosts.
func NewHosts(t testing.TB, opts ...libp2p.Option) (a, b host.Host) {
	t.Helper()
	a, b = NewHost(t, opts...), NewHost(t, opts...)
	Connect(t, a, b)
	return a, b
}

// NewHostsOn returns two connected hosts with addresses of a kind.
func NewHostsOn(t *testing.T, addr string) (a, b host.Host) {
	t.Helper()
	a, b = NewHostOn(t, addr), NewHostOn(t, addr)
	Connect(t, a, b)
	return a, b
}

// Muxers are addresses, by what makes streams of the connections to them.
var Muxers = map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"}

// Know makes a able to dial b.
func Know(a, b host.Host) { a.Peerstore().AddAddrs(b.ID(), b.Addrs(), peerstore.PermanentAddrTTL) }

// Connect connects two hosts, each of which can dial the other again.
func Connect(t testing.TB, a, b host.Host) {
	t.Helper()
	Know(a, b)
	Know(b, a)
	if err := a.Connect(Context(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// Restart closes b and returns a host with its key and address, when a has seen
// the connection go: a request that is written before can have arrived, as far
// as anyone knows.
func Restart(t *testing.T, a, b host.Host) host.Host {
	t.Helper()
	key, addr := b.Peerstore().PrivKey(b.ID()), b.Addrs()[0].String()
	_ = b.Close()
	Eventually(t, "the connection is gone", func() bool { return len(a.Network().ConnsToPeer(b.ID())) == 0 })
	h := NewHostOn(t, addr, libp2p.Identity(key))
	if h.ID() != b.ID() {
		t.Fatal("another peer")
	}
	return h
}

// LimitedHost is a host with few resources.
func LimitedHost(t *testing.T, l rcmgr.PartialLimitConfig) host.Host {
	t.Helper()
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l.Build(rcmgr.InfiniteLimits)))
	if err != nil {
		t.Fatal(err)
	}
	return NewHost(t, libp2p.ResourceManager(m))
}
