package allocator_test

import (
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/allocator"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAllocate(t *testing.T) {
	t.Parallel()
	client, server := rpctest.Local(t)
	rpctest.HandleReply(server, api.Consensus.Members, []peer.ID{"a", "b", "c", "d"})
	rpctest.HandleReply(server, api.Monitor.Metrics, []api.Metric{
		{Peer: "a", Free: 1}, {Peer: "b", Free: 3}, {Peer: "c", Free: 2}, {Peer: "d", Free: 9, Expired: true}, {Peer: "stranger", Free: 9},
	})
	a := allocator.New(client)
	for name, c := range map[string]struct {
		request api.AllocationRequest
		want    []peer.ID
		code    codes.Code
	}{
		"the most room first":       {api.AllocationRequest{Replicas: 2}, []peer.ID{"b", "c"}, codes.OK},
		"who keeps it stays":        {api.AllocationRequest{Replicas: 2, Current: []peer.ID{"a"}}, []peer.ID{"a", "b"}, codes.OK},
		"the dead do not stay":      {api.AllocationRequest{Replicas: 2, Current: []peer.ID{"d"}}, []peer.ID{"b", "c"}, codes.OK},
		"too few are alive":         {api.AllocationRequest{Replicas: 4}, nil, codes.Unavailable},
		"fewer will do":             {api.AllocationRequest{Replicas: 4, AtLeast: 3}, []peer.ID{"b", "c", "a"}, codes.OK},
		"nobody is no number":       {api.AllocationRequest{}, nil, codes.InvalidArgument},
		"neither is less than none": {api.AllocationRequest{Replicas: -1}, nil, codes.InvalidArgument},
	} {
		got, err := a.Allocate(t.Context(), c.request)
		if !slices.Equal(got, c.want) || rpc.CodeOf(err) != c.code {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
