package cluster

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Status asks every peer what has become of a pin.
func (c *Cluster) Status(ctx context.Context, root cid.Cid) ([]api.PinInfo, error) {
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	pins, err := api.Consensus.Pins.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	var infos []api.PinInfo
	for p, answer := range api.PinTracker.Status.CallAll(ctx, c.client, members, root, patience) {
		if answer.Err == nil {
			infos = append(infos, answer.Value)
			continue
		}
		for _, pin := range pins {
			if pin.Cid == root {
				infos = append(infos, silent(pin, p, answer.Err))
			}
		}
	}
	return infos, nil
}

// StatusAll asks every peer what has become of all pins.
func (c *Cluster) StatusAll(ctx context.Context, _ api.Nothing) ([]api.PinInfo, error) {
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	pins, err := api.Consensus.Pins.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	var infos []api.PinInfo
	said := make(map[peer.ID]map[cid.Cid]bool)
	for p, answer := range api.PinTracker.StatusAll.CallAll(ctx, c.client, members, api.Nothing{}, patience) {
		if said[p] == nil {
			said[p] = make(map[cid.Cid]bool)
		}
		if answer.Err == nil {
			infos = append(infos, answer.Value)
			said[p][answer.Value.Cid] = true
			continue
		}
		for _, pin := range pins {
			if !said[p][pin.Cid] {
				infos = append(infos, silent(pin, p, answer.Err))
			}
		}
	}
	return infos, nil
}

// silent stands for the status of a pin on a peer that gave none, whether it is
// to keep the pin or not: it may have it still.
func silent(pin api.Pin, p peer.ID, err error) api.PinInfo {
	return api.PinInfo{Cid: pin.Cid, Name: pin.Name, Peer: p, Status: api.Unreachable, Error: err.Error()}
}
