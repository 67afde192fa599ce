// Package tracker makes a peer keep what it is to keep. There are two trackers
// behind one interface, and peers with either can be in one cluster: the
// others see no difference.
package tracker

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Tracker serves api.PinTracker.
type Tracker interface {
	// Pin begins to keep a DAG, or gives it up if the pin is not allocated to
	// this peer. It ends an Unpin's work before.
	Pin(context.Context, api.Pin) (api.Nothing, error)
	// Unpin cancels what Pin has begun, and gives the DAG up.
	Unpin(context.Context, cid.Cid) (api.Nothing, error)
	Status(context.Context, cid.Cid) (api.PinInfo, error)
	StatusAll(context.Context, api.Nothing) ([]api.PinInfo, error)
	// Recover begins again what failed or was lost, and gives up what is
	// stored though nobody wants it.
	Recover(context.Context, api.Nothing) (api.Nothing, error)
	// Close cancels what is under way, and waits for it.
	Close() error
}

// The kinds of tracker.
const (
	Map       = "map"       // keeps the state of each pin in memory
	Stateless = "stateless" // asks the storage and the consensus for it
)

// New makes a tracker of a kind. The client is its way to the other components.
func New(kind string, client *rpc.Client) (Tracker, error) {
	switch kind {
	case Map:
		return newMap(client), nil
	case Stateless:
		return newStateless(client), nil
	}
	return nil, fmt.Errorf("no such pin tracker: %q; there are %q and %q", kind, Map, Stateless)
}

// Register makes a tracker's methods callable.
func Register(s *rpc.Server, t Tracker) error {
	return errors.Join(
		api.PinTracker.Pin.Handle(s, t.Pin),
		api.PinTracker.Unpin.Handle(s, t.Unpin),
		api.PinTracker.Status.Handle(s, t.Status),
		api.PinTracker.StatusAll.Handle(s, func(ctx context.Context, _ api.Nothing, out *rpc.Sender[api.PinInfo]) error {
			infos, err := t.StatusAll(ctx, api.Nothing{})
			for _, info := range infos {
				if err := out.Send(ctx, info); err != nil {
					return err
				}
			}
			return err
		}),
		api.PinTracker.Recover.Handle(s, t.Recover),
	)
}
