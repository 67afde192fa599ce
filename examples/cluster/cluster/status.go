package cluster

import (
	"context"

	"github.com/ipfs/go-cid"

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
	for _, answer := range broadcast(ctx, c.client, members, api.PinTracker.Status, root) {
		if answer.err == nil {
			infos = append(infos, answer.reply)
			continue
		}
		for _, pin := range pins {
			if pin.Cid == root {
				infos = append(infos, silent(pin, answer.peer, answer.err))
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
	for _, answer := range broadcast(ctx, c.client, members, api.PinTracker.StatusAll, api.Nothing{}) {
		infos = append(infos, answer.reply...)
		if answer.err != nil {
			for _, pin := range pins {
				infos = append(infos, silent(pin, answer.peer, answer.err))
			}
		}
	}
	return infos, nil
}
