package node_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
)

// partition cuts the connections between two groups, and lets none be made.
func partition(t *testing.T, a, b []*member) {
	t.Helper()
	for _, x := range a {
		for _, y := range b {
			for _, err := range []error{
				x.gater.BlockPeer(y.ID()), y.gater.BlockPeer(x.ID()),
				x.host.Network().ClosePeer(y.ID()), y.host.Network().ClosePeer(x.ID()),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// heal undoes partition: the peers find each other by themselves.
func heal(t *testing.T, a, b []*member) {
	t.Helper()
	for _, x := range a {
		for _, y := range b {
			for _, err := range []error{x.gater.UnblockPeer(y.ID()), y.gater.UnblockPeer(x.ID())} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestPartitionAndHealing(t *testing.T) {
	t.Parallel()
	members := newCluster(t, 5, nil)
	before := decode(t, add(t, members[0], "before", 3, text("before")).Cid)
	leader, followers := waitLeader(t, members)
	minority, majority := []*member{leader, followers[0]}, followers[1:]

	partition(t, minority, majority)
	waitLeader(t, majority)
	waitHeard(t, majority, 3)
	during := decode(t, add(t, majority[0], "during", 3, text("during")).Cid)
	waitPins(t, majority, []cid.Cid{before, during})

	// The old leader cannot have it agreed upon, and does not say it was.
	ctx, cancel := context.WithTimeout(testContext(t), 2*time.Second)
	defer cancel()
	if pin, err := leader.rest.Add(ctx, "lost", 1, text("lost"), nil); err == nil {
		t.Fatalf("a minority agreed on %v", pin)
	}
	waitPins(t, minority, []cid.Cid{before})

	heal(t, minority, majority)
	waitLeader(t, members)
	waitPins(t, members, []cid.Cid{before, during})
	waitHeard(t, members, 5)
	after := add(t, leader, "after", 5, text("after"))
	waitPinned(t, majority[0], after.Cid, 5)
	waitPins(t, members, []cid.Cid{before, during, decode(t, after.Cid)})
}

func TestDeadPeersPinsMove(t *testing.T) {
	t.Parallel()
	members := newCluster(t, 5, nil)
	file := randomFile(3, 1<<20)
	pin := add(t, members[0], "moved", 3, bytes.NewReader(file))
	keepers := waitPinned(t, members[0], pin.Cid, 3)
	i := slices.IndexFunc(members, func(m *member) bool { return slices.Contains(keepers, m.ID().String()) })
	members[i].kill()
	members = slices.Delete(members, i, i+1)
	after := waitPinned(t, members[0], pin.Cid, 3)
	for _, m := range members {
		if slices.Contains(after, m.ID().String()) {
			sameBytes(t, read(t, m, pin.Cid), file)
		}
	}
}

func TestPeerAdded(t *testing.T) {
	t.Parallel()
	secret := node.NewSecret()
	h, gater := newHost(t, secret)
	first := newMember(t, h, gater, node.Config{Name: "first", Founders: []peer.ID{h.ID()}})
	members := []*member{first}
	pin := add(t, first, "early", 1, text("early"))
	for range 3 {
		h, gater := newHost(t, secret)
		at := members[len(members)-1] // who need not be the leader
		members = append(members, newMember(t, h, gater, node.Config{
			Bootstrap: []peer.AddrInfo{{ID: at.ID(), Addrs: at.host.Addrs()}},
		}))
		waitLeader(t, members)
	}
	waitPins(t, members, []cid.Cid{decode(t, pin.Cid)})
	waitHeard(t, members, 4)
	last := members[3]
	waitPinned(t, last, add(t, last, "late", 4, text("late")).Cid, 4)
	peers, err := last.rest.Peers(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(peers) != 4 {
		t.Fatalf("%d peers, want 4", len(peers))
	}
}
