package rig

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
)

// BlackHole is an address that takes connections and never says anything.
func BlackHole(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan []net.Conn)
	go func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				accepted <- conns
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for _, c := range <-accepted {
			_ = c.Close()
		}
	})
	return TCPAddr(l.Addr())
}

// ClosedPort is an address that nobody listens on.
func ClosedPort(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return TCPAddr(l.Addr())
}

// Lonely bounds the wait for a connection that will not come.
const Lonely = time.Second

// Relayed returns two hosts with a limited connection, through a third.
func Relayed(t *testing.T) (a, b host.Host) {
	t.Helper()
	a, b, _ = RelayedWithin(t, 64<<20)
	return a, b
}

// RelayedWithin is Relayed with so many bytes in each direction as the relay's limit, and
// with the link between b and the relay.
func RelayedWithin(t *testing.T, most int64) (a, b host.Host, link *Link) {
	t.Helper()
	ctx := Context(t)
	limits := relay.DefaultResources()
	limits.Limit.Data = most
	middle, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(),
		libp2p.EnableRelayService(relay.WithResources(limits)), libp2p.ForceReachabilityPublic())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = middle.Close() })
	hosts := make([]host.Host, 2)
	for i := range hosts { // they listen nowhere, so there is no direct way
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		hosts[i] = h
		addrs := middle.Addrs()
		if i == 1 {
			link = NewLink(t, middle)
			addrs = []multiaddr.Multiaddr{link.Addr}
		}
		if err := h.Connect(ctx, peer.AddrInfo{ID: middle.ID(), Addrs: addrs}); err != nil {
			t.Fatal(err)
		}
	}
	a, b = hosts[0], hosts[1]
	if _, err := client.Reserve(ctx, b, peer.AddrInfo{ID: middle.ID(), Addrs: middle.Addrs()}); err != nil {
		t.Fatal(err)
	}
	through := multiaddr.StringCast("/p2p/" + middle.ID().String() + "/p2p-circuit")
	err = a.Connect(network.WithAllowLimitedConn(ctx, "test"), peer.AddrInfo{ID: b.ID(), Addrs: []multiaddr.Multiaddr{through}})
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range a.Network().ConnsToPeer(b.ID()) {
		if !conn.Stat().Limited {
			t.Fatalf("%v is not limited", conn.RemoteMultiaddr())
		}
	}
	return a, b, link
}

// TCPAddr is a as a multiaddr.
func TCPAddr(a net.Addr) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", a.(*net.TCPAddr).Port))
}
