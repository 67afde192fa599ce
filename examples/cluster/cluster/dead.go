package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// fewest is of how many members none is removed because it is dead: two that
// are left need each other as much as two of three do, and the third may come
// back.
const fewest = 3

// removeDead makes one that has been silent for long a member no more. It would
// count for the majority, and one death after the other would make the living
// too few, however many have joined meanwhile. Only the leader does it, and
// only while most members are alive.
func (c *Cluster) removeDead(ctx context.Context, members []peer.ID) error {
	if c.cfg.RemoveAfter == 0 {
		return nil
	}
	alive, err := c.alive(ctx, members)
	if err != nil {
		return err
	}
	maps.DeleteFunc(c.silent, func(p peer.ID, _ time.Time) bool { return !slices.Contains(members, p) })
	living, now := 0, time.Now()
	var dead []peer.ID
	for _, p := range members {
		since, silent := c.silent[p]
		switch {
		case alive[p] || p == c.host.ID():
			living++
			delete(c.silent, p)
		case !silent:
			c.silent[p] = now
		case now.Sub(since) >= c.cfg.RemoveAfter:
			dead = append(dead, p)
		}
	}
	if len(members) <= fewest || 2*living <= len(members) {
		return nil
	}
	for _, p := range dead {
		delete(c.silent, p)
		if c.answers(ctx, p) {
			continue // only its metrics do not come
		}
		_, err := api.Consensus.Commit.Call(ctx, c.client, "", api.Op{Kind: api.OpRemovePeer, Peer: p})
		return err // the next one is for the next time, of which the majority is another
	}
	return nil
}

// alive are the members that are heard of.
func (c *Cluster) alive(ctx context.Context, members []peer.ID) (map[peer.ID]bool, error) {
	metrics, err := api.Monitor.Metrics.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	alive := make(map[peer.ID]bool)
	for _, m := range metrics {
		alive[m.Peer] = !m.Expired && slices.Contains(members, m.Peer)
	}
	return alive, nil
}

// answers reports whether a peer can be called, for all that is known.
func (c *Cluster) answers(ctx context.Context, p peer.ID) bool {
	_, err := api.Cluster.ID.Call(ctx, c.client, p, api.Nothing{}, patience)
	code := rpc.CodeOf(err)
	return code != codes.Unavailable && code != codes.DeadlineExceeded || ctx.Err() != nil
}

// rejoin asks the others to make this peer a member again: it was removed while
// it was away, if they have a leader and it has heard of none.
func (c *Cluster) rejoin(ctx context.Context, members []peer.ID, bootstrap []peer.AddrInfo) {
	for _, at := range bootstrap {
		if !slices.Contains(members, at.ID) {
			members = append(members, at.ID)
		}
	}
	members = slices.DeleteFunc(members, func(p peer.ID) bool {
		return c.host.Network().Connectedness(p) != network.Connected
	})
	for _, answer := range api.Cluster.Join.CallAll(ctx, c.client, members, c.contact(c.host.ID()), patience) {
		if answer.Err == nil {
			for _, m := range answer.Value {
				_ = c.know(m)
			}
			return
		}
	}
}
