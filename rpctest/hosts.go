package rpctest

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
)

// MemoryHosts returns n libp2p hosts, each connected to every other, that reach
// one another in memory: no socket is opened. All else is as it is on a
// network: connections are encrypted and multiplexed, peers are authenticated,
// and libp2p's limits are in force.
//
// Options are added to the package's own, for each host: such as
// [libp2p.ConnectionGater], or a private network's key. The hosts are closed
// when the test ends. With n = 1 a host is added later, to be connected with
// [Connect] to any of the others.
func MemoryHosts(t testing.TB, n int, opts ...libp2p.Option) []host.Host {
	t.Helper()
	return newHosts(t, n, append([]libp2p.Option{
		libp2p.NoTransports, libp2p.Transport(newMemory), libp2p.ListenAddrStrings(freeAddr),
	}, opts...))
}

// LoopbackHosts is [MemoryHosts] with TCP on free ports of the loopback
// interface, for what is about sockets.
func LoopbackHosts(t testing.TB, n int, opts ...libp2p.Option) []host.Host {
	t.Helper()
	return newHosts(t, n, append([]libp2p.Option{
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
	}, opts...))
}

func newHosts(t testing.TB, n int, opts []libp2p.Option) []host.Host {
	t.Helper()
	opts = append([]libp2p.Option{libp2p.DisableRelay(), libp2p.DisableMetrics()}, opts...)
	hosts := make([]host.Host, n)
	for i := range hosts {
		h, err := libp2p.New(opts...)
		if err != nil {
			t.Fatalf("rpctest: host %d of %d: %v", i+1, n, err)
		}
		t.Cleanup(func() { _ = h.Close() })
		hosts[i] = h
	}
	Connect(t, hosts...)
	return hosts
}

// Connect connects each of the hosts to every other, and makes them know one
// another's addresses, so that they can connect again. It fails the test if
// they cannot, at once.
func Connect(t testing.TB, hosts ...host.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i, a := range hosts {
		for _, b := range hosts[:i] {
			a.Peerstore().AddAddrs(b.ID(), b.Addrs(), peerstore.PermanentAddrTTL)
			b.Peerstore().AddAddrs(a.ID(), a.Addrs(), peerstore.PermanentAddrTTL)
			if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID()}); err != nil {
				t.Fatalf("rpctest: connecting %v to %v: %v", a.ID(), b.ID(), err)
			}
		}
	}
}
