package cluster_test

import (
	"context"
	"errors"
	"path/filepath"
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
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/cluster"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var root = cid.MustParse("bafkreicymcn7mh7kmqgcivjvuk3xck4ntwh72rwcbhy2sgzwwg2elypa4u")

// setup is the cluster component of the first of some peers, for which all
// else is played.
func setup(t *testing.T, n int, cfg cluster.Config) (c *cluster.Cluster, servers []*rpctest.Server, hosts []host.Host) {
	t.Helper()
	hosts = rpctest.MemoryHosts(t, n)
	for _, h := range hosts {
		servers = append(servers, rpctest.NewServer(t, h, api.Protocol))
	}
	c = cluster.New(hosts[0], servers[0].Client(), cfg)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Register(servers[0].Server); err != nil {
		t.Fatal(err)
	}
	return c, servers, hosts
}

// consensus plays what is agreed upon.
func consensus(s *rpctest.Server, members []host.Host, pins ...api.Pin) {
	var ids []peer.ID
	for _, h := range members {
		ids = append(ids, h.ID())
	}
	s.Mock("Consensus", rpctest.Methods{
		"Members": rpctest.Reply[api.Nothing](ids),
		"Leader":  rpctest.Reply[api.Nothing](members[0].ID()),
		"Pins":    rpctest.Reply[api.Nothing](pins),
		"Lookup":  rpctest.Reply[cid.Cid](pins),
		"Commit":  rpctest.Reply[api.Op](api.Nothing{}),
	})
}

func TestPeers(t *testing.T) {
	t.Parallel()
	c, servers, hosts := setup(t, 3, cluster.Config{Name: "anna", Tracker: "map"})
	consensus(servers[0], hosts)
	rpctest.HandleReply(servers[0], api.Storage.Free, uint64(7))
	rpctest.HandleReply(servers[1], api.Cluster.ID, api.ID{Peer: hosts[1].ID(), Name: "bert"})
	rpctest.HandleReply(servers[2], api.Cluster.ID, api.ID{})
	servers[2].Method("Cluster", "ID").Fail(1, errors.New("leave me alone"))
	peers, err := c.Peers(t.Context(), api.Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	byPeer := make(map[peer.ID]api.ID)
	for _, id := range peers {
		byPeer[id.Peer] = id
	}
	anna, bert, carl := byPeer[hosts[0].ID()], byPeer[hosts[1].ID()], byPeer[hosts[2].ID()]
	if anna.Name != "anna" || anna.Free != 7 || anna.Leader != anna.Peer || anna.Tracker != "map" {
		t.Errorf("%+v", anna)
	}
	if bert.Name != "bert" || bert.Error != "" || carl.Error != "leave me alone" {
		t.Errorf("%+v, %+v", bert, carl)
	}
}

func TestPin(t *testing.T) {
	t.Parallel()
	c, servers, hosts := setup(t, 1, cluster.Config{Replicas: 2})
	before := api.Pin{Cid: root, Name: "letter", Allocations: []peer.ID{"bert"}, Created: time.Unix(1, 0)}
	consensus(servers[0], hosts, before)
	rpctest.HandleReply(servers[0], api.Allocator.Allocate, []peer.ID{"bert", "carl"})
	for i, names := range []struct{ given, want string }{{"", "letter"}, {"draft", "draft"}} {
		pin, err := c.Pin(t.Context(), api.Pin{Cid: root, Name: names.given})
		if err != nil || pin.Replicas != 2 || len(pin.Allocations) != 2 || !pin.Created.Equal(before.Created) {
			t.Fatalf("%+v, %v", pin, err)
		}
		request := servers[0].Method("Allocator", "Allocate").Calls()[i].Args.(api.AllocationRequest)
		if request.Replicas != 2 || !slices.Equal(request.Current, before.Allocations) {
			t.Fatalf("%+v", request)
		}
		if op := servers[0].Method("Consensus", "Commit").Calls()[i].Args.(api.Op); op.Kind != api.OpPin || op.Pin.Name != names.want {
			t.Fatalf("%+v", op)
		}
	}
}

func TestUnpin(t *testing.T) {
	t.Parallel()
	c, servers, hosts := setup(t, 1, cluster.Config{})
	consensus(servers[0], hosts)
	if _, err := c.Unpin(t.Context(), root); rpc.CodeOf(err) != codes.NotFound {
		t.Fatal(err)
	}
}

func TestStatusOfPeersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	c, servers, hosts := setup(t, 3, cluster.Config{})
	consensus(servers[0], hosts, api.Pin{Cid: root, Allocations: []peer.ID{hosts[0].ID(), hosts[1].ID()}})
	pinned := api.PinInfo{Cid: root, Peer: hosts[0].ID(), Status: api.Pinned}
	rpctest.HandleReply(servers[0], api.PinTracker.Status, pinned)
	rpctest.Handle(servers[0], api.PinTracker.StatusAll, func(ctx context.Context, _ api.Nothing, out *rpc.Sender[api.PinInfo]) error {
		return out.Send(ctx, pinned)
	})
	for _, h := range hosts[1:] {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	one, err := c.Status(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.StatusAll(t.Context(), api.Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	for _, infos := range [][]api.PinInfo{one, all} {
		got := make(map[peer.ID]api.Status)
		for _, info := range infos {
			got[info.Peer] = info.Status
		}
		if len(infos) != 3 || got[hosts[0].ID()] != api.Pinned || got[hosts[1].ID()] != api.Unreachable || got[hosts[2].ID()] != api.Unreachable {
			t.Fatalf("%+v", infos)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	_, servers, hosts := setup(t, 3, cluster.Config{})
	consensus(servers[0], []host.Host{hosts[0], hosts[2]})
	client := servers[1].Client()
	ask := api.Contact{Peer: hosts[0].ID()} // who does not ask
	if _, err := api.Cluster.Join.Call(t.Context(), client, hosts[0].ID(), ask); rpc.CodeOf(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	ask.Peer = hosts[1].ID()
	members, err := api.Cluster.Join.Call(t.Context(), client, hosts[0].ID(), ask)
	if err != nil || len(members) != 2 || len(members[0].Addrs) == 0 {
		t.Fatal(members, err)
	}
	commit := servers[0].Method("Consensus", "Commit")
	if op := commit.Calls()[0].Args.(api.Op); op.Kind != api.OpAddPeer || op.Peer != hosts[1].ID() {
		t.Fatalf("%+v", op)
	}

	// Who is a member already is not made one again, if that is sure.
	ask.Peer = hosts[2].ID()
	for i := range 2 {
		if _, err := api.Cluster.Join.Call(t.Context(), servers[2].Client(), hosts[0].ID(), ask); err != nil {
			t.Fatal(err)
		}
		if n := len(commit.Calls()); n != 1+i {
			t.Fatalf("%d operations, want %d", n, 1+i)
		}
		servers[0].Method("Consensus", "Leader").Fail(1, errors.New("nobody leads"))
	}
}

// What keeps a peer from being a member is told when it changes, and so is
// that it has become one.
func TestTroubleWithJoiningIsTold(t *testing.T) {
	t.Parallel()
	told := make(chan error, 10)
	c, servers, hosts := setup(t, 2, cluster.Config{Interval: 10 * time.Millisecond, Member: func(err error) { told <- err }})
	consensus(servers[0], hosts[1:])
	rpctest.HandleReply(servers[0], api.PinTracker.Recover, api.Nothing{})
	join := rpctest.HandleReply(servers[1], api.Cluster.Join, []api.Contact{})
	join.Fail(3, errors.New("who are you?"))
	join.Fail(2, errors.New("we are closed"))
	if err := c.Start([]peer.AddrInfo{{ID: hosts[1].ID()}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"who are you?", "we are closed"} {
		if err := <-told; err == nil || err.Error() != hosts[1].ID().String()+": "+want {
			t.Fatalf("told %v, want %q", err, want)
		}
	}
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	join.WaitDone(8) // the others' configuration has not come, and it asks again
	if len(told) > 0 {
		t.Fatalf("told what is not new: %v", <-told)
	}
}

// reallocating starts the leader of a cluster of which the second peer is
// dead, and the first keeps what both are to keep, or does not.
func reallocating(t *testing.T, kept api.Status) (leader *rpctest.Server, pin api.Pin) {
	c, servers, hosts := setup(t, 3, cluster.Config{Interval: 10 * time.Millisecond, Contacts: filepath.Join(t.TempDir(), "contacts")})
	first, dead, third := hosts[0].ID(), hosts[1].ID(), hosts[2].ID()
	pin = api.Pin{Cid: root, Replicas: 2, Allocations: []peer.ID{first, dead}}
	leader = servers[0]
	consensus(leader, hosts, pin)
	leader.Mock("Monitor", rpctest.Methods{"Metrics": rpctest.Reply[api.Nothing]([]api.Metric{
		{Peer: first}, {Peer: dead, Expired: true}, {Peer: third},
	})})
	leader.Mock("PinTracker", rpctest.Methods{
		"Status":  rpctest.Reply[cid.Cid](api.PinInfo{Cid: root, Peer: first, Status: kept}),
		"Recover": rpctest.Reply[api.Nothing](api.Nothing{}),
	})
	rpctest.HandleReply(leader, api.Allocator.Allocate, []peer.ID{first, third})
	if err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	return leader, pin
}

func TestPinsOfTheDeadMove(t *testing.T) {
	t.Parallel()
	leader, pin := reallocating(t, api.Pinned)
	op := leader.Method("Consensus", "Commit").Wait(1)[0].Args.(api.Op)
	if op.Kind != api.OpMove || !slices.Equal(op.From, pin.Allocations) || slices.Contains(op.Pin.Allocations, pin.Allocations[1]) {
		t.Fatalf("%+v", op)
	}
	request := leader.Method("Allocator", "Allocate").Calls()[0].Args.(api.AllocationRequest)
	if !slices.Equal(request.Current, pin.Allocations[:1]) || request.Replicas != 2 || request.AtLeast != 1 {
		t.Fatalf("%+v", request)
	}
}

// The dead may have the only copy: they are not told to give it up.
func TestPinsThatNobodyKeepsStay(t *testing.T) {
	t.Parallel()
	leader, _ := reallocating(t, api.Pinning)
	leader.Method("PinTracker", "Status").WaitDone(2) // it has been looked at more than once
	if n := len(leader.Method("Consensus", "Commit").Calls()); n != 0 {
		t.Fatal("they were moved")
	}
}

// leading starts the leader of a cluster of some members, which it hears of or
// does not. Those it does not hear of are dead, or answer nevertheless.
func leading(t *testing.T, dead bool, heard ...bool) (leader *rpctest.Server, others []*rpctest.Server, hosts []host.Host) {
	c, servers, hosts := setup(t, len(heard), cluster.Config{Interval: 10 * time.Millisecond, RemoveAfter: 30 * time.Millisecond})
	leader = servers[0]
	consensus(leader, hosts)
	var metrics []api.Metric
	for i, is := range heard {
		metrics = append(metrics, api.Metric{Peer: hosts[i].ID(), Expired: !is})
		if i > 0 {
			rpctest.HandleReply(servers[i], api.Cluster.ID, api.ID{})
		}
		if !is && dead {
			if err := hosts[i].Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	rpctest.HandleReply(leader, api.Monitor.Metrics, metrics)
	rpctest.HandleReply(leader, api.PinTracker.Recover, api.Nothing{})
	if err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	return leader, servers[1:], hosts
}

func TestTheDeadAreRemoved(t *testing.T) {
	t.Parallel()
	leader, _, hosts := leading(t, true, true, true, true, false)
	op := leader.Method("Consensus", "Commit").Wait(1)[0].Args.(api.Op)
	if op.Kind != api.OpRemovePeer || op.Peer != hosts[3].ID() {
		t.Fatalf("%+v", op)
	}
}

func TestTheDeadStayMembers(t *testing.T) {
	t.Parallel()
	for name, heard := range map[string][]bool{
		"if they are half of all":       {true, true, false, false},
		"if there were two without one": {true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leader, _, _ := leading(t, true, heard...)
			leader.Method("Monitor", "Metrics").WaitDone(20) // it has been silent for long enough
			if calls := leader.Method("Consensus", "Commit").Calls(); len(calls) != 0 {
				t.Fatalf("%+v", calls)
			}
		})
	}
}

// Who is not heard of, but answers, is not dead.
func TestTheSilentWhoAnswerStayMembers(t *testing.T) {
	t.Parallel()
	leader, others, _ := leading(t, false, true, true, true, false)
	others[2].Method("Cluster", "ID").WaitDone(2)
	if calls := leader.Method("Consensus", "Commit").Calls(); len(calls) != 0 {
		t.Fatalf("%+v", calls)
	}
}

// A peer that learns that it was removed asks those who are left.
func TestRemovedPeerAsksToBeAMemberAgain(t *testing.T) {
	t.Parallel()
	c, servers, hosts := setup(t, 2, cluster.Config{Interval: 10 * time.Millisecond})
	consensus(servers[0], hosts[1:])
	rpctest.HandleReply(servers[0], api.PinTracker.Recover, api.Nothing{})
	join := rpctest.HandleReply(servers[1], api.Cluster.Join, []api.Contact{})
	if err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	if from := join.Wait(1)[0].Args.(api.Contact); from.Peer != hosts[0].ID() {
		t.Fatalf("%+v", from)
	}
}

// A peer that was removed while it was away may not learn that: all that it
// can tell is that it has no leader.
func TestMemberWithoutALeaderAsksToBeOneAgain(t *testing.T) {
	t.Parallel()
	c, servers, hosts := setup(t, 2, cluster.Config{Interval: 10 * time.Millisecond})
	consensus(servers[0], hosts)
	rpctest.HandleReply(servers[0], api.PinTracker.Recover, api.Nothing{})
	leader := servers[0].Method("Consensus", "Leader")
	leader.Fail(20, errors.New("nobody leads"))
	join := rpctest.HandleReply(servers[1], api.Cluster.Join, []api.Contact{})
	if err := c.Start(nil); err != nil {
		t.Fatal(err)
	}
	if from := join.Wait(1)[0].Args.(api.Contact); from.Peer != hosts[0].ID() {
		t.Fatalf("%+v", from)
	}
	if n := len(leader.Calls()); n < 2 {
		t.Fatalf("it asked when it had had no leader %d times: that may be an election", n)
	}
}

// A peer that has been a member finds the others by itself.
func TestContactsAreKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "contacts")
	maintained := func(hosts []host.Host, s *rpctest.Server, c *cluster.Cluster) {
		consensus(s, hosts)
		rpctest.HandleReply(s, api.PinTracker.Recover, api.Nothing{})
		s.Method("Consensus", "Leader").Fail(rpctest.Every, errors.New("nobody leads"))
		if err := c.Start(nil); err != nil {
			t.Fatal(err)
		}
		s.Method("PinTracker", "Recover").Wait(1)
	}
	c, servers, hosts := setup(t, 2, cluster.Config{Contacts: file})
	maintained(hosts, servers[0], c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	again := rpctest.MemoryHosts(t, 1)[0]
	s := rpctest.NewServer(t, again, api.Protocol)
	c = cluster.New(again, s.Client(), cluster.Config{Contacts: file})
	t.Cleanup(func() { _ = c.Close() })
	maintained([]host.Host{again, hosts[1]}, s, c)
	if len(again.Network().ConnsToPeer(hosts[1].ID())) == 0 {
		t.Fatal("it does not find the other")
	}
}
