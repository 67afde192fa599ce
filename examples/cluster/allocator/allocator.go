// Package allocator picks the peers that are to keep a DAG: those that keep it
// already, and then those with the most room.
package allocator

import (
	"cmp"
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Allocator serves api.Allocator.
type Allocator struct{ client *rpc.Client }

// New returns an allocator. The client is its way to the other components.
func New(client *rpc.Client) *Allocator { return &Allocator{client} }

// Register makes the methods callable.
func (a *Allocator) Register(s *rpc.Server) error {
	return api.Allocator.Allocate.Handle(s, a.Allocate)
}

// Allocate picks living members. It fails if there are fewer than asked for.
func (a *Allocator) Allocate(ctx context.Context, req api.AllocationRequest) ([]peer.ID, error) {
	if req.Replicas < 1 {
		return nil, rpc.Errorf(codes.InvalidArgument, "%d replicas were asked for", req.Replicas)
	}
	members, err := api.Consensus.Members.Call(ctx, a.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	metrics, err := api.Monitor.Metrics.Call(ctx, a.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	var keeping, others []api.Metric
	for _, m := range metrics {
		switch {
		case m.Expired || !slices.Contains(members, m.Peer):
		case slices.Contains(req.Current, m.Peer):
			keeping = append(keeping, m)
		default:
			others = append(others, m)
		}
	}
	slices.SortFunc(others, func(x, y api.Metric) int { return cmp.Compare(y.Free, x.Free) })
	alive := append(keeping, others...)
	atLeast := req.AtLeast
	if atLeast == 0 {
		atLeast = req.Replicas
	}
	if len(alive) < atLeast {
		return nil, rpc.Errorf(codes.Unavailable, "%d peers are wanted, and %d are alive", atLeast, len(alive))
	}
	var picked []peer.ID
	for _, m := range alive[:min(req.Replicas, len(alive))] {
		picked = append(picked, m.Peer)
	}
	return picked, nil
}
