package node_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
)

func TestPolicyForgetsNoMethod(t *testing.T) {
	t.Parallel()
	if err := newCluster(t, 1, nil)[0].Policy().Err(); err != nil {
		t.Fatal(err)
	}
}

func TestOutsiderCannotConnect(t *testing.T) {
	t.Parallel()
	m := newCluster(t, 1, nil)[0]
	for name, secret := range map[string]string{"no secret": "", "another": node.NewSecret()} {
		outsider, _ := newHost(t, secret)
		if err := outsider.Connect(testContext(t), peer.AddrInfo{ID: m.ID(), Addrs: m.host.Addrs()}); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	secret := node.NewSecret()
	guest, _ := newHost(t, secret)
	friend, _ := newHost(t, secret)
	h, gater := newHost(t, secret, guest, friend)
	m := newMember(t, h, gater, node.Config{Founders: []peer.ID{h.ID()}, Trusted: []peer.ID{h.ID(), friend.ID()}})
	waitLeader(t, []*member{m})

	ctx := testContext(t)
	byGuest, byFriend := rpc.NewClient(guest, api.Protocol), rpc.NewClient(friend, api.Protocol)
	t.Cleanup(func() { _, _ = byGuest.Close(), byFriend.Close() })
	put := func(c *rpc.Client) error {
		call := api.Storage.Put.Open(ctx, c, h.ID())
		defer call.Close()
		_ = call.CloseSend()
		for _, err := range call.All(ctx) {
			return err
		}
		return nil
	}
	errOf := func(_ any, err error) error { return err }
	for name, c := range map[string]struct {
		err     error
		refused bool
	}{
		"a guest asks who it is":         {errOf(api.Cluster.ID.Call(ctx, byGuest, h.ID(), api.Nothing{})), false},
		"a guest asks for the peers":     {errOf(api.Cluster.Peers.Call(ctx, byGuest, h.ID(), api.Nothing{})), true},
		"a guest joins":                  {errOf(api.Cluster.Join.Call(ctx, byGuest, h.ID(), api.Contact{Peer: guest.ID()})), true},
		"a guest stores":                 {put(byGuest), true},
		"a guest calls what is not":      {byGuest.CallContext(ctx, h.ID(), "No", "Such", 1, new(int)), true},
		"a friend asks for the peers":    {errOf(api.Cluster.Peers.Call(ctx, byFriend, h.ID(), api.Nothing{})), false},
		"a friend stores":                {put(byFriend), false},
		"a friend pins behind the state": {errOf(api.Storage.Pin.Call(ctx, byFriend, h.ID(), api.Pin{})), true},
	} {
		if refused := rpc.IsAuthorizationError(c.err); refused != c.refused || !refused && c.err != nil {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	raftRefuses(ctx, t, guest.NewStream, h.ID())
}

// raftRefuses sees to it that a guest's raft messages are not read.
func raftRefuses(ctx context.Context, t *testing.T, open streamOpener, p peer.ID) {
	t.Helper()
	s, err := open(ctx, p, "/examples/cluster/raft/1.0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if err := s.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var silence net.Error // who may take part is waited for
	if _, err := s.Read(make([]byte, 1)); err == nil || errors.As(err, &silence) && silence.Timeout() {
		t.Errorf("raft listens to a guest: %v", err)
	}
}

type streamOpener = func(context.Context, peer.ID, ...protocol.ID) (network.Stream, error)
