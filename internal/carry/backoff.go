package carry

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// backoffPoll is how often it is looked whether libp2p would dial again: it does not say
// when.
const backoffPoll = 200 * time.Millisecond

// AwaitDial waits, after err of a call that could not reach p, until another call would
// really try: libp2p refuses to dial for 5 s and more after a dial that failed. It returns
// at once if err is anything else, when there is a connection, or with what ended the wait.
func (r *Router) AwaitDial(ctx context.Context, p peer.ID, err error) *call.Fault {
	refused := r.refused(p, err)
	if !refused() {
		return nil
	}
	arrived, stop := r.arrivals(ctx, p)
	defer stop()
	for refused() && !r.connected(ctx, p) {
		if ended := call.Pause(ctx, r.Over, backoffPoll, arrived); ended != nil {
			return ended
		}
	}
	return nil
}

// refused returns a function that reports whether libp2p refuses to dial all the
// addresses of p that it has dialled when a call failed with err.
func (r *Router) refused(p peer.ID, err error) func() bool {
	var failed *swarm.DialError
	network, ok := r.Host.Network().(interface{ Backoff() *swarm.DialBackoff })
	if !ok || !errors.As(err, &failed) {
		return func() bool { return false }
	}
	backoff := network.Backoff()
	waits := func(e swarm.TransportError) bool { return backoff.Backoff(p, e.Address) }
	dialled := slices.DeleteFunc(slices.Clone(failed.DialErrors), func(e swarm.TransportError) bool { return !waits(e) })
	return func() bool {
		return len(dialled) > 0 && !slices.ContainsFunc(dialled, func(e swarm.TransportError) bool { return !waits(e) })
	}
}

// arrivals returns a channel that has something when a connection to p has come, until
// stop is called.
func (r *Router) arrivals(ctx context.Context, p peer.ID) (arrived chan struct{}, stop func()) {
	arrived = make(chan struct{}, 1)
	notifiee := &network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
		if conn.RemotePeer() == p {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	}}
	r.Host.Network().Notify(notifiee)
	if r.connected(ctx, p) { // before anybody looked
		select {
		case arrived <- struct{}{}:
		default:
		}
	}
	return arrived, func() { r.Host.Network().StopNotify(notifiee) }
}
