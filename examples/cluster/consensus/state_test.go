package consensus

import (
	"testing"

	"github.com/hashicorp/raft"
	"github.com/ipfs/go-cid"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// A snapshot has all that the log had; what it does not have is given up.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	client, server := rpctest.Local(t)
	server.Mock("PinTracker", rpctest.Methods{
		"Pin":   rpctest.Reply[api.Pin](api.Nothing{}),
		"Unpin": rpctest.Reply[cid.Cid](api.Nothing{}),
	})
	kept := cid.MustParse("bafkreicymcn7mh7kmqgcivjvuk3xck4ntwh72rwcbhy2sgzwwg2elypa4u")
	gone := cid.MustParse("bafkqaaa")
	from := newState(client)
	from.pins[kept], from.done = api.Pin{Cid: kept, Name: "letter"}, []string{"once"}
	snap, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	store := raft.NewInmemSnapshotStore()
	sink, err := store.Create(1, 1, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	_, data, err := store.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}

	to := newState(client)
	to.pins[gone] = api.Pin{Cid: gone}
	if err := to.Restore(data); err != nil {
		t.Fatal(err)
	}
	if len(to.pins) != 1 || to.pins[kept].Name != "letter" || len(to.done) != 1 {
		t.Fatalf("%+v", to)
	}
	if pins := server.Method("PinTracker", "Pin").Calls(); len(pins) != 1 || pins[0].Args.(api.Pin).Cid != kept {
		t.Fatal(pins)
	}
	if unpins := server.Method("PinTracker", "Unpin").Calls(); len(unpins) != 1 || unpins[0].Args != gone {
		t.Fatal(unpins)
	}
}
