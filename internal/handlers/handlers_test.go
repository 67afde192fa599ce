package handlers

import (
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// fakeHost has handlers, and nothing else.
type fakeHost struct {
	host.Host
	id   peer.ID
	sets map[protocol.ID]network.StreamHandler
	mux  protocol.Switch
}

// fakeSwitch is not empty: pointers to nothing may be the same.
type fakeSwitch struct {
	protocol.Switch
	_ int
}

func newHost(id peer.ID) *fakeHost {
	return &fakeHost{id: id, sets: make(map[protocol.ID]network.StreamHandler), mux: new(fakeSwitch)}
}

func (h *fakeHost) Mux() protocol.Switch { return h.mux }

func (h *fakeHost) ID() peer.ID { return h.id }

func (h *fakeHost) SetStreamHandler(id protocol.ID, f network.StreamHandler) { h.sets[id] = f }

func (h *fakeHost) RemoveStreamHandler(id protocol.ID) { delete(h.sets, id) }

// uncomparable is a host whose comparison would panic.
type uncomparable struct {
	*fakeHost
	_ []int
}

func nothing(network.Stream) {}

func TestHandlersOfTwoHostsWithOneID(t *testing.T) {
	for name, hosts := range map[string][2]host.Host{
		"pointers":     {newHost("two"), newHost("two")},
		"uncomparable": {uncomparable{fakeHost: newHost("two")}, uncomparable{fakeHost: newHost("two")}},
	} {
		first, second := NewSet(hosts[0]), NewSet(hosts[1])
		if first.Add("p", nothing) || second.Add("p", nothing) {
			t.Errorf("%s: one is taken for the other", name)
		}
		first.Remove()
		if !first.removed(t, "p") || second.removed(t, "p") {
			t.Errorf("%s: the wrong one was removed", name)
		}
		second.Remove()
		if !second.removed(t, "p") {
			t.Errorf("%s: the second is there still", name)
		}
	}
	if _, there := places.of[key{"two", "p"}]; there {
		t.Error("the place is kept")
	}
}

func (s *Set) removed(t *testing.T, id protocol.ID) bool {
	t.Helper()
	h, ok := s.host.(*fakeHost)
	if !ok {
		h = s.host.(uncomparable).fakeHost
	}
	return h.sets[id] == nil
}

// A program of v0.6 closes no server.
func TestHostThatIsNeverClosedIsNotKept(t *testing.T) {
	h := newHost("dropped")
	s := NewSet(h)
	s.Add("p", func(network.Stream) { _ = s.ids })
	gone := make(chan struct{})
	runtime.AddCleanup(h, func(gone chan struct{}) { close(gone) }, gone)
	h, s = nil, nil
	late := time.After(20 * time.Second)
	for forgotten := false; !forgotten; {
		runtime.GC()
		select {
		case <-late:
			t.Fatal("the host, or its place, is kept")
		case <-gone:
			places.Lock()
			forgotten = places.of[key{"dropped", "p"}] == nil
			places.Unlock()
		default:
		}
	}
}
