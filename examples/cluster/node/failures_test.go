package node_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
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

// waitMembers waits until some peers know of n members, dead or alive.
func waitMembers(t *testing.T, at []*member, n int) {
	t.Helper()
	for _, m := range at {
		until(t, func(ctx context.Context) error {
			members, err := api.Consensus.Members.Call(ctx, m.Client(), "", api.Nothing{})
			if err == nil && len(members) != n {
				err = fmt.Errorf("%d members, want %d", len(members), n)
			}
			return err
		})
	}
}

// One death after the other does not leave the living too few.
func TestDeadPeersAreRemoved(t *testing.T) {
	t.Parallel()
	members := newCluster(t, 5, func(_ int, cfg *node.Config) { cfg.RemoveAfter = time.Second })
	for range 2 {
		members[0].kill()
		members = members[1:]
	}
	waitMembers(t, members, 3)
	members[0].kill()
	members = members[1:]
	waitLeader(t, members)
	waitPinned(t, members[0], add(t, members[0], "later", 2, text("later")).Cid, 2)
}

// Who was removed while it was away is a member again when it is back.
func TestRemovedPeerComesBack(t *testing.T) {
	t.Parallel()
	members := newCluster(t, 5, func(_ int, cfg *node.Config) { cfg.RemoveAfter = time.Second })
	leader, followers := waitLeader(t, members)
	away, others := followers[:1], append(followers[1:], leader)
	partition(t, away, others)
	waitMembers(t, others, 4)
	during := decode(t, add(t, others[0], "during", 3, text("during")).Cid)
	heal(t, away, others)
	waitMembers(t, members, 5)
	waitPins(t, members, []cid.Cid{during})
	waitLeader(t, members)
}

// A person can do what the leader would do later.
func TestDeadPeerRemovedByHand(t *testing.T) {
	t.Parallel()
	members := newCluster(t, 3, nil)
	dead := members[2]
	dead.kill()
	members = members[:2]
	waitLeader(t, members)
	request, err := http.NewRequestWithContext(testContext(t), http.MethodDelete, members[0].URL()+"/peers/"+dead.ID().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusNoContent {
		t.Fatal(answer.Status)
	}
	waitMembers(t, members, 2)
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
