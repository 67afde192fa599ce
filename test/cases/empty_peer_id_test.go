package cases_test

import (
	"context"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type member struct {
	Peer   peer.ID
	Leader peer.ID // empty: none is known
}

// A value whose UnmarshalBinary refuses what its MarshalBinary made, as
// peer.ID's does for an empty ID, is refused in words that are wrong: "the
// method takes member, not member; pass a value of that type". The cause
// ("multihash too short") is nowhere. Locally the call works.
func TestAnEmptyPeerIDIsNoOtherType(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p/1")
	join := rpc.NewMethod[member, int]("Svc", "Join")
	join.Handle(server, func(context.Context, member) (int, error) { return 1, nil })
	arg := member{Peer: hosts[1].ID()}
	if _, err := join.Call(t.Context(), rpc.NewClientWithServer(hosts[0], "/p/1", server), "", arg); err != nil {
		t.Errorf("locally: %v", err)
	}
	_, err := join.Call(t.Context(), rpc.NewClient(hosts[1], "/p/1"), hosts[0].ID(), arg)
	if err != nil && strings.Contains(err.Error(), "takes repro.member, not repro.member") {
		t.Errorf("remotely: %v", err)
	}
}

// The same words for a type of one name that differs between two versions of a
// program: a number that does not fit is "main.Args, not main.Args".
func TestANumberThatDoesNotFitIsNoOtherType(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p/1")
	func() {
		type Args struct{ A int8 }
		rpc.NewMethod[Args, int]("Svc", "Take").Handle(server, func(context.Context, Args) (int, error) { return 1, nil })
	}()
	type Args struct{ A int }
	_, err := rpc.NewMethod[Args, int]("Svc", "Take").Call(t.Context(), rpc.NewClient(hosts[1], "/p/1"), hosts[0].ID(), Args{300})
	if err == nil || strings.Contains(err.Error(), "takes repro.Args, not repro.Args") {
		t.Error(err)
	}
}
