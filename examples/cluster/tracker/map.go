package tracker

import (
	"context"

	"github.com/ipfs/go-cid"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// mapTracker keeps the state of each pin in a map: it answers at once, and
// can say why something failed. The map takes memory for every pin.
type mapTracker struct {
	*operations
	pins map[cid.Cid]*entry // under operations.mu
}

// entry is what became of the last operation on a DAG.
type entry struct {
	pin   api.Pin
	unpin bool
	err   error
}

func newMap(client *rpc.Client) *mapTracker {
	t := &mapTracker{pins: make(map[cid.Cid]*entry)}
	t.operations = newOperations(client, t.operationEnded)
	return t
}

func (t *mapTracker) operationEnded(op *operation, err error) {
	e := t.pins[op.pin.Cid]
	switch {
	case e == nil: // given up by Recover, unknown before
	case e.unpin && err == nil:
		delete(t.pins, op.pin.Cid)
	default:
		e.err = err
	}
}

func (t *mapTracker) Pin(_ context.Context, pin api.Pin) (api.Nothing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pins[pin.Cid] = &entry{pin: pin}
	t.begin(pin, !pin.Allocated(t.client.ID()))
	return api.Nothing{}, nil
}

func (t *mapTracker) Unpin(_ context.Context, root cid.Cid) (api.Nothing, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.pins[root]
	if e == nil {
		e = &entry{pin: api.Pin{Cid: root}}
		t.pins[root] = e
	}
	e.unpin, e.err = true, nil
	t.begin(e.pin, true)
	return api.Nothing{}, nil
}

func (t *mapTracker) Status(_ context.Context, root cid.Cid) (api.PinInfo, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.info(root), nil
}

func (t *mapTracker) StatusAll(context.Context, api.Nothing) ([]api.PinInfo, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	infos := make([]api.PinInfo, 0, len(t.pins))
	for root := range t.pins {
		infos = append(infos, t.info(root))
	}
	return infos, nil
}

// info tells the status. mu is held.
func (t *mapTracker) info(root cid.Cid) api.PinInfo {
	info := api.PinInfo{Cid: root, Peer: t.client.ID(), Status: api.Unpinned}
	e := t.pins[root]
	if e == nil {
		return info
	}
	info.Name = e.pin.Name
	op := t.current[root]
	switch {
	case e.err != nil:
		info.Status, info.Error = api.Failed, e.err.Error()
	case !e.unpin && !e.pin.Allocated(t.client.ID()):
		info.Status = api.Remote
	case op != nil:
		info.Status = op.status()
	default:
		info.Status = api.Pinned
	}
	return info
}

func (t *mapTracker) Recover(ctx context.Context, _ api.Nothing) (api.Nothing, error) {
	t.mu.Lock()
	var wanted []api.Pin
	for _, e := range t.pins {
		if !e.unpin {
			wanted = append(wanted, e.pin)
		}
		if e.err != nil {
			e.err = nil
			t.begin(e.pin, e.unpin || !e.pin.Allocated(t.client.ID()))
		}
	}
	t.mu.Unlock()
	return api.Nothing{}, t.recover(ctx, wanted)
}
