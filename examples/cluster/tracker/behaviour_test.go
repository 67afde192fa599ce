package tracker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/tracker"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

const somebody = peer.ID("somebody else")

func TestPinAtOnce(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "a")
		w.want(root, api.Unpinned)
		w.pin(root, somebody, w.self)
		w.want(root, api.Pinned)
		w.unpin(root)
		w.want(root, api.Unpinned)
		if len(w.stored) > 0 {
			w.t.Error("it is still stored")
		}
	})
}

func TestUnpinCancelsPin(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "for ever")
		w.storagePins().Block(1)
		w.pin(root, w.self)
		w.want(root, api.Pinning)
		w.unpin(root)
		w.want(root, api.Unpinned)
		pin, unpin := w.storagePins().Calls()[0], w.storageUnpins().Calls()[0]
		if !errors.Is(pin.Err, context.Canceled) || unpin.Args != root {
			w.t.Fatalf("%v, %v", pin, unpin)
		}
	})
}

func TestPinFailsAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "fails")
		w.storagePins().Fail(1, &rpc.Error{Code: codes.Unavailable, Message: "nobody has it"})
		w.pin(root, w.self)
		w.want(root, api.Failed)
		w.recover()
		w.want(root, api.Pinned)
	})
}

// A broken storage breaks nothing else.
func TestPinPanicsAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "panics")
		w.storagePins().Panic(1, "out of order")
		w.pin(root, w.self)
		w.want(root, api.Failed)
		w.recover()
		w.want(root, api.Pinned)
	})
}

func TestUnpinFailsAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "stays")
		w.pin(root, w.self)
		w.want(root, api.Pinned)
		w.storageUnpins().Fail(1, errors.New("the disk is full"))
		w.unpin(root)
		w.want(root, api.Failed)
		w.recover()
		w.want(root, api.Unpinned)
	})
}

func TestPinOfOthers(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "moved")
		w.pin(root, w.self)
		w.want(root, api.Pinned)
		w.pin(root, somebody)
		w.want(root, api.Remote)
		if len(w.stored) > 0 {
			w.t.Error("it is still stored")
		}
	})
}

func TestPinAgainDuringUnpin(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "again")
		w.pin(root, w.self)
		w.want(root, api.Pinned)
		release := w.storageUnpins().Hold(1)
		w.unpin(root)
		w.want(root, api.Unpinning)
		w.pin(root, w.self)
		w.want(root, api.Pinning)
		if n := len(w.storagePins().Calls()); n != 1 {
			w.t.Fatalf("%d pins while the unpin was under way, want 1", n)
		}
		release()
		w.want(root, api.Pinned)
	})
}

// What is stored and not in this peer's state is given up only if the leader
// does not know of it either: the peer may have been away.
func TestRecoverAsksTheLeader(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		kept, given := newCid(w.t, "kept"), newCid(w.t, "given up")
		w.stored[kept], w.stored[given] = true, true
		leader := map[cid.Cid]bool{kept: true}
		w.leader = func(root cid.Cid) bool { return leader[root] }
		w.recover()
		synctest.Wait()
		if !w.stored[kept] || w.stored[given] {
			w.t.Fatalf("stored: %v", w.stored)
		}
	})
}

func TestRecoverFetchesWhatIsLost(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		root := newCid(w.t, "lost")
		w.pin(root, w.self)
		w.want(root, api.Pinned)
		delete(w.stored, root)
		w.recover()
		w.want(root, api.Pinned)
		if !w.stored[root] {
			w.t.Fatal("it was not fetched")
		}
	})
}

func TestCloseCancelsAll(t *testing.T) {
	t.Parallel()
	forBoth(t, func(w *world) {
		w.storagePins().Block(rpctest.Every)
		for i := range 20 {
			w.pin(newCid(w.t, fmt.Sprint(i)), w.self)
		}
		synctest.Wait()
		if n := len(w.storagePins().Calls()); n != 8 {
			w.t.Fatalf("%d pins at once, want 8", n)
		}
		if err := w.tracker.Close(); err != nil {
			w.t.Fatal(err)
		}
		synctest.Wait()
		for _, call := range w.storagePins().Calls() {
			if !errors.Is(call.Err, context.Canceled) {
				w.t.Errorf("%v", call)
			}
		}
	})
}

func TestNoSuchTracker(t *testing.T) {
	t.Parallel()
	if _, err := tracker.New("bogus", nil); err == nil {
		t.Fatal("no error")
	}
}

// The map tracker can say why.
func TestMapTellsTheError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tracker.Map)
		root := newCid(t, "fails")
		w.storagePins().Fail(1, errors.New("nobody has it"))
		w.pin(root, w.self)
		w.want(root, api.Failed)
		if info, _ := w.tracker.Status(t.Context(), root); info.Error != "nobody has it" || info.Name != "a name" {
			t.Fatalf("%+v", info)
		}
	})
}
