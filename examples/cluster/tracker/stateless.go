package tracker

import (
	"context"

	"github.com/ipfs/go-cid"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// statelessTracker remembers what is under way, and nothing else: the status
// follows from what the consensus wants and what the storage has. It takes no
// memory for pins at rest, and cannot say why one failed.
type statelessTracker struct{ *operations }

func newStateless(client *rpc.Client) *statelessTracker {
	return &statelessTracker{newOperations(client, func(*operation, error) {})}
}

func (t *statelessTracker) Pin(_ context.Context, pin api.Pin) (api.Nothing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(pin, !pin.Allocated(t.client.ID()))
	return api.Nothing{}, nil
}

func (t *statelessTracker) Unpin(_ context.Context, root cid.Cid) (api.Nothing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(api.Pin{Cid: root}, true)
	return api.Nothing{}, nil
}

func (t *statelessTracker) Status(ctx context.Context, root cid.Cid) (api.PinInfo, error) {
	infos, err := t.StatusAll(ctx, api.Nothing{})
	for _, info := range infos {
		if info.Cid == root {
			return info, nil
		}
	}
	return api.PinInfo{Cid: root, Peer: t.client.ID(), Status: api.Unpinned}, err
}

func (t *statelessTracker) StatusAll(ctx context.Context, _ api.Nothing) ([]api.PinInfo, error) {
	// In this order: an operation begins before its pin is in the state, and
	// ends when the storage has the DAG.
	pins, err := api.Consensus.Pins.Call(ctx, t.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	under := t.underWay()
	roots, err := api.Storage.Pinned.Call(ctx, t.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	stored := make(map[cid.Cid]bool, len(roots))
	for _, root := range roots {
		stored[root] = true
	}
	var infos []api.PinInfo
	for _, pin := range pins {
		infos = append(infos, t.info(pin, under[pin.Cid], stored[pin.Cid]))
		delete(under, pin.Cid)
		delete(stored, pin.Cid)
	}
	for root, op := range under {
		infos = append(infos, api.PinInfo{Cid: root, Name: op.pin.Name, Peer: t.client.ID(), Status: op.status()})
		delete(stored, root)
	}
	for root := range stored {
		infos = append(infos, api.PinInfo{Cid: root, Peer: t.client.ID(), Status: api.Failed, Error: "unpinned, and still stored"})
	}
	return infos, nil
}

func (t *statelessTracker) underWay() map[cid.Cid]*operation {
	t.mu.Lock()
	defer t.mu.Unlock()
	under := make(map[cid.Cid]*operation, len(t.current))
	for root, op := range t.current {
		under[root] = op
	}
	return under
}

// info tells the status of a pin that is agreed upon.
func (t *statelessTracker) info(pin api.Pin, op *operation, stored bool) api.PinInfo {
	info := api.PinInfo{Cid: pin.Cid, Name: pin.Name, Peer: t.client.ID()}
	switch {
	case !pin.Allocated(t.client.ID()):
		info.Status = api.Remote
	case op != nil:
		info.Status = op.status()
	case stored:
		info.Status = api.Pinned
	default:
		info.Status, info.Error = api.Failed, "not stored"
	}
	return info
}

func (t *statelessTracker) Recover(ctx context.Context, _ api.Nothing) (api.Nothing, error) {
	pins, err := api.Consensus.Pins.Call(ctx, t.client, "", api.Nothing{})
	if err != nil {
		return api.Nothing{}, err
	}
	return api.Nothing{}, t.recover(ctx, pins)
}
