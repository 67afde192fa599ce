package consensus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/consensus"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var root = cid.MustParse("bafkreicymcn7mh7kmqgcivjvuk3xck4ntwh72rwcbhy2sgzwwg2elypa4u")

// voter is a peer of which only the consensus is real.
type voter struct {
	server *rpctest.Server
	client *rpc.Client
	agreed *consensus.Consensus
}

func newVoter(t *testing.T, h host.Host, cfg consensus.Config) *voter {
	t.Helper()
	v := &voter{server: rpctest.NewServer(t, h, api.Protocol)}
	v.client = v.server.Client()
	v.server.Mock("PinTracker", rpctest.Methods{
		"Pin":   rpctest.Reply[api.Pin](api.Nothing{}),
		"Unpin": rpctest.Reply[cid.Cid](api.Nothing{}),
	})
	cfg.Timeout = 500 * time.Millisecond
	var err error
	if v.agreed, err = consensus.New(h, v.client, cfg); err != nil {
		t.Fatal(err)
	}
	if err := v.agreed.Register(v.server.Server); err != nil {
		t.Fatal(err)
	}
	return v
}

func newVoters(t *testing.T, n int) []*voter {
	t.Helper()
	return newVotersAt(t, rpctest.MemoryHosts(t, n))
}

func newVotersAt(t *testing.T, hosts []host.Host) (voters []*voter) {
	t.Helper()
	var founders []peer.ID
	for _, h := range hosts {
		founders = append(founders, h.ID())
	}
	for _, h := range hosts {
		v := newVoter(t, h, consensus.Config{Founders: founders})
		t.Cleanup(func() { _ = v.agreed.Close() })
		voters = append(voters, v)
	}
	return voters
}

func (v *voter) commit(ctx context.Context, op api.Op) error {
	_, err := api.Consensus.Commit.Call(ctx, v.client, "", op)
	return err
}

// wait waits until the peer has the pin, or has it no more.
func (v *voter) wait(t *testing.T, want bool) {
	t.Helper()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for deadline := time.After(30 * time.Second); ; {
		pins, err := api.Consensus.Pins.Call(t.Context(), v.client, "", api.Nothing{})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(pins, func(pin api.Pin) bool { return pin.Cid == root }) == want {
			return
		}
		select {
		case <-ticks.C:
		case <-deadline:
			t.Fatalf("pins %v", pins)
		}
	}
}

func pin(allocations ...peer.ID) api.Op {
	return api.Op{Kind: api.OpPin, Pin: &api.Pin{Cid: root, Name: "letter", Allocations: allocations}}
}

var unpin = api.Op{Kind: api.OpUnpin, Pin: &api.Pin{Cid: root}}

func TestCommitOnAnyPeer(t *testing.T) {
	t.Parallel()
	voters := newVoters(t, 3)
	for i, v := range voters {
		if err := v.commit(t.Context(), pin()); err != nil {
			t.Fatal(err)
		}
		for _, other := range voters {
			other.wait(t, true)
			// Its tracker knew of it first.
			if n := len(other.server.Method("PinTracker", "Pin").Calls()); n != i+1 {
				t.Fatalf("%d pins, want %d", n, i+1)
			}
			found, err := api.Consensus.Lookup.Call(t.Context(), other.client, "", root)
			if err != nil || len(found) != 1 || found[0].Name != "letter" {
				t.Fatalf("%v, %v", found, err)
			}
		}
		if err := v.commit(t.Context(), unpin); err != nil {
			t.Fatal(err)
		}
		for _, other := range voters {
			other.wait(t, false)
		}
	}
}

// Who writes does not notice that the leader has died.
func TestCommitWhenTheLeaderHasDied(t *testing.T) {
	t.Parallel()
	hosts := rpctest.MemoryHosts(t, 3)
	voters := newVotersAt(t, hosts)
	if err := voters[0].commit(t.Context(), pin()); err != nil {
		t.Fatal(err)
	}
	leader, err := api.Consensus.Leader.Call(t.Context(), voters[0].client, "", api.Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range hosts {
		if h.ID() == leader {
			if err := errors.Join(h.Close(), voters[i].agreed.Close()); err != nil {
				t.Fatal(err)
			}
			voters = slices.Delete(voters, i, i+1)
			break
		}
	}
	if err := voters[0].commit(t.Context(), unpin); err != nil {
		t.Fatal(err)
	}
	for _, v := range voters {
		v.wait(t, false)
	}
}

// Only the leader applies: the others do not pass it on a second time.
func TestApplyOnFollower(t *testing.T) {
	t.Parallel()
	voters := newVoters(t, 3)
	if err := voters[0].commit(t.Context(), pin()); err != nil { // there is a leader now
		t.Fatal(err)
	}
	done := 0
	for _, v := range voters {
		switch _, err := api.Consensus.Apply.Call(t.Context(), v.client, "", pin()); rpc.CodeOf(err) {
		case codes.OK:
			done++
		case codes.Unavailable:
		default:
			t.Fatal(err)
		}
	}
	if done != 1 {
		t.Fatalf("%d applied it", done)
	}
}

// An operation that is committed again by somebody who did not learn of its
// success happens once.
func TestOperationHappensOnce(t *testing.T) {
	t.Parallel()
	v := newVoters(t, 1)[0]
	once := pin()
	once.ID = "once"
	for _, op := range []api.Op{once, unpin, once} {
		if err := v.commit(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	v.wait(t, false)
}

// A pin that was changed meanwhile, or given up, is not moved.
func TestMove(t *testing.T) {
	t.Parallel()
	v := newVoters(t, 1)[0]
	hosts := rpctest.MemoryHosts(t, 3)
	a, b, c := hosts[0].ID(), hosts[1].ID(), hosts[2].ID()
	move := func(from, to peer.ID) api.Op {
		op := pin(to)
		op.Kind, op.From = api.OpMove, []peer.ID{from}
		return op
	}
	for i, step := range []struct {
		op   api.Op
		want []peer.ID
	}{
		{move(a, b), nil}, {pin(a), []peer.ID{a}}, {move(c, b), []peer.ID{a}}, {move(a, b), []peer.ID{b}}, {unpin, nil}, {move(b, c), nil},
	} {
		if err := v.commit(t.Context(), step.op); err != nil {
			t.Fatal(err)
		}
		found, err := api.Consensus.Lookup.Call(t.Context(), v.client, "", root)
		if err != nil {
			t.Fatal(err)
		}
		var got []peer.ID
		for _, pin := range found {
			got = pin.Allocations
		}
		if !slices.Equal(got, step.want) {
			t.Fatalf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	v := newVoters(t, 1)[0]
	for _, op := range []api.Op{{}, {Kind: api.OpPin}, {Kind: "bogus", Pin: pin().Pin}} {
		if err := v.commit(t.Context(), op); rpc.CodeOf(err) != codes.InvalidArgument {
			t.Errorf("%+v: %v", op, err)
		}
	}
}

// Without a majority nothing is agreed upon, and who waits may give up.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	h := rpctest.MemoryHosts(t, 1)[0]
	v := newVoter(t, h, consensus.Config{Founders: []peer.ID{h.ID(), "12345678", "23456789"}})
	t.Cleanup(func() { _ = v.agreed.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := v.commit(ctx, pin()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestOnDisk(t *testing.T) {
	t.Parallel()
	h, dir := rpctest.MemoryHosts(t, 1)[0], t.TempDir()
	cfg := consensus.Config{Dir: dir, Founders: []peer.ID{h.ID()}}
	v := newVoter(t, h, cfg)
	if err := errors.Join(v.commit(t.Context(), pin(h.ID())), v.agreed.Close(), v.server.Close()); err != nil {
		t.Fatal(err)
	}
	v = newVoter(t, h, cfg)
	t.Cleanup(func() { _ = v.agreed.Close() })
	v.wait(t, true)
	v.server.Method("PinTracker", "Pin").Wait(1)
	members, err := api.Consensus.Members.Call(t.Context(), v.client, "", api.Nothing{})
	if err != nil || !slices.Equal(members, cfg.Founders) {
		t.Fatal(members, err)
	}
}

func TestMembersChange(t *testing.T) {
	t.Parallel()
	hosts := rpctest.MemoryHosts(t, 2)
	var voters []*voter
	for i, h := range hosts {
		v := newVoter(t, h, consensus.Config{Founders: []peer.ID{hosts[0].ID()}[i:]})
		t.Cleanup(func() { _ = v.agreed.Close() })
		voters = append(voters, v)
	}
	if err := errors.Join(
		voters[0].commit(t.Context(), pin()),
		voters[0].commit(t.Context(), api.Op{Kind: api.OpAddPeer, Peer: hosts[1].ID()}),
	); err != nil {
		t.Fatal(err)
	}
	voters[1].wait(t, true)
	if err := voters[1].commit(t.Context(), unpin); err != nil {
		t.Fatal(err)
	}
	if err := voters[0].commit(t.Context(), api.Op{Kind: api.OpRemovePeer, Peer: hosts[1].ID()}); err != nil {
		t.Fatal(err)
	}
	members, err := api.Consensus.Members.Call(t.Context(), voters[0].client, "", api.Nothing{})
	if err != nil || !slices.Equal(members, []peer.ID{hosts[0].ID()}) {
		t.Fatal(members, err)
	}
}
