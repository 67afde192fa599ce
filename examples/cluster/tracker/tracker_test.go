package tracker_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/tracker"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCid makes a CID for a text.
func newCid(t *testing.T, text string) cid.Cid {
	t.Helper()
	hash, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.Raw, hash)
}

// world is a peer of which only the tracker is real.
type world struct {
	t       *testing.T
	server  *rpctest.Server
	tracker tracker.Tracker
	self    peer.ID

	mu     sync.Mutex
	state  map[cid.Cid]api.Pin // what is agreed upon
	stored map[cid.Cid]bool
	leader func(cid.Cid) bool // what the leader knows beside
}

func newWorld(t *testing.T, kind string) *world {
	t.Helper()
	h := rpctest.MemoryHosts(t, 1)[0]
	w := &world{t: t, server: rpctest.NewServer(t, h, api.Protocol), self: h.ID(), state: make(map[cid.Cid]api.Pin), stored: make(map[cid.Cid]bool)}
	s := w.server.Server
	var err error
	if w.tracker, err = tracker.New(kind, w.server.Client()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.tracker.Close() })
	if err := errors.Join(
		tracker.Register(s, w.tracker),
		api.Storage.Pin.Handle(s, w.storagePin),
		api.Storage.Unpin.Handle(s, w.storageUnpin),
		api.Storage.Pinned.Handle(s, w.storagePinned),
		api.Consensus.Pins.Handle(s, w.pins),
		api.Consensus.Lookup.Handle(s, w.lookup),
	); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) storagePin(_ context.Context, pin api.Pin) (api.Nothing, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored[pin.Cid] = true
	return api.Nothing{}, nil
}

func (w *world) storageUnpin(_ context.Context, root cid.Cid) (api.Nothing, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.stored, root)
	return api.Nothing{}, nil
}

func (w *world) storagePinned(context.Context, api.Nothing) ([]cid.Cid, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.stored)), nil
}

func (w *world) pins(context.Context, api.Nothing) ([]api.Pin, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.state)), nil
}

func (w *world) lookup(_ context.Context, root cid.Cid) ([]api.Pin, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if pin, ok := w.state[root]; ok {
		return []api.Pin{pin}, nil
	}
	if w.leader != nil && w.leader(root) {
		return []api.Pin{{Cid: root, Allocations: []peer.ID{w.self}}}, nil
	}
	return nil, nil
}

// pin is what happens when a pin has been agreed upon.
func (w *world) pin(root cid.Cid, at ...peer.ID) {
	w.t.Helper()
	pin := api.Pin{Cid: root, Name: "a name", Replicas: 1, Allocations: at}
	if _, err := w.tracker.Pin(w.t.Context(), pin); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state[root] = pin
}

// unpin is what happens when an unpin has been agreed upon.
func (w *world) unpin(root cid.Cid) {
	w.t.Helper()
	if _, err := w.tracker.Unpin(w.t.Context(), root); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.state, root)
}

func (w *world) recover() {
	w.t.Helper()
	if _, err := w.tracker.Recover(w.t.Context(), api.Nothing{}); err != nil {
		w.t.Fatal(err)
	}
}

// want asserts on the status, once all that can happen has happened, and that
// it is the same in the list of all.
func (w *world) want(root cid.Cid, want api.Status) {
	w.t.Helper()
	synctest.Wait()
	info, err := w.tracker.Status(w.t.Context(), root)
	if err != nil {
		w.t.Fatal(err)
	}
	if info.Status != want || info.Cid != root || info.Peer != w.self {
		w.t.Fatalf("%+v, want %v", info, want)
	}
	if (info.Error != "") != (want == api.Failed) {
		w.t.Fatalf("%v with the error %q", info.Status, info.Error)
	}
	all, err := w.tracker.StatusAll(w.t.Context(), api.Nothing{})
	if err != nil {
		w.t.Fatal(err)
	}
	listed := slices.ContainsFunc(all, func(i api.PinInfo) bool { return i == info })
	if listed != (want != api.Unpinned) {
		w.t.Fatalf("%+v is in %+v: %v", info, all, listed)
	}
}

func (w *world) storagePins() *rpctest.Method   { return w.server.Method("Storage", "Pin") }
func (w *world) storageUnpins() *rpctest.Method { return w.server.Method("Storage", "Unpin") }

// forBoth runs a test for each kind of tracker: they behave the same.
func forBoth(t *testing.T, test func(w *world)) {
	t.Helper()
	for _, kind := range []string{tracker.Map, tracker.Stateless} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(newWorld(t, kind)) })
		})
	}
}

// many is a tracker of more pins than a message can list.
type many struct{ tracker.Tracker }

const manyPins = 60_000

func (many) StatusAll(context.Context, api.Nothing) ([]api.PinInfo, error) {
	return slices.Repeat([]api.PinInfo{{Cid: cid.MustParse("bafkreicymcn7mh7kmqgcivjvuk3xck4ntwh72rwcbhy2sgzwwg2elypa4u"), Status: api.Pinned}}, manyPins), nil
}

func TestListOfManyPins(t *testing.T) {
	t.Parallel()
	hosts := rpctest.MemoryHosts(t, 2)
	s := rpctest.NewServer(t, hosts[0], api.Protocol)
	tr, err := tracker.New(tracker.Map, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tracker.Register(s.Server, many{tr}); err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(hosts[1], api.Protocol)
	defer c.Close()
	n := 0
	for _, err := range api.PinTracker.StatusAll.Call(t.Context(), c, hosts[0].ID(), api.Nothing{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != manyPins {
		t.Errorf("%d of %d pins", n, manyPins)
	}
}
