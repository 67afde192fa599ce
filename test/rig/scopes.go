package rig

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Held returns what the streams of the library hold of h.
func Held(h host.Host) (all network.ScopeStat) {
	add := func(s network.ScopeStat) {
		all.NumStreamsInbound += s.NumStreamsInbound
		all.NumStreamsOutbound += s.NumStreamsOutbound
		all.Memory += s.Memory
	}
	m := h.Network().ResourceManager()
	_ = m.ViewService(rpc.ServiceName, func(s network.ServiceScope) error { add(s.Stat()); return nil })
	for _, p := range []protocol.ID{Protocol, Extended, Sessions} {
		_ = m.ViewProtocol(p, func(s network.ProtocolScope) error { add(s.Stat()); return nil })
	}
	return all
}

// Streams returns how many streams of the library there are at h.
func Streams(h host.Host) int {
	s := Held(h)
	return (s.NumStreamsInbound + s.NumStreamsOutbound) / 2 // of the service, and of the protocol
}

// SessionsAt returns how many sessions there are at h.
func SessionsAt(h host.Host) (n int) {
	_ = h.Network().ResourceManager().ViewProtocol(Sessions, func(s network.ProtocolScope) error {
		stat := s.Stat()
		n = stat.NumStreamsInbound + stat.NumStreamsOutbound
		return nil
	})
	return n
}

// Released waits until the library holds nothing of the hosts.
func Released(t testing.TB, hosts ...host.Host) {
	t.Helper()
	for _, h := range hosts {
		var last network.ScopeStat
		Eventually(t, "all streams and memory given back", func() bool {
			last = Held(h)
			return last == network.ScopeStat{}
		})
	}
}

// Multiplies checks that the server serves an honest client.
func Multiplies(t testing.TB, c *rpc.Client, dest peer.ID) {
	t.Helper()
	var n int
	if err := c.CallContext(Context(t), dest, "Svc", "Multiply", Args{2, 3}, &n); err != nil || n != 6 {
		t.Fatalf("an honest client gets %d, %v", n, err)
	}
}

// Allocates fails the test if f, alone in the process, takes more memory than
// most. What was freed again counts: no moment's use can be missed.
func Allocates(t *testing.T, most uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("took %d MiB, and %d are plenty", n>>20, most>>20)
	}
}

// MultipliesAlways has many callers at once, each of whom makes a few calls, and
// none of them fails.
func MultipliesAlways(t *testing.T, c *rpc.Client, b host.Host) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // without a deadline, which v06 does not expect
	defer cancel()
	late := time.AfterFunc(time.Minute, cancel)
	defer late.Stop()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 5 {
				var n int
				if err := c.CallContext(ctx, b.ID(), "Svc", "Multiply", Args{i, j}, &n); err != nil || n != i*j {
					t.Errorf("%d * %d is %d, %v", i, j, n, err)
				}
			}
		})
	}
	wg.Wait()
}
