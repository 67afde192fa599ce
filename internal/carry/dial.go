package carry

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
)

// Carry makes a call of another peer, with or without waiting for a connection. It
// returns [call.ErrPending] for a call with a Done.
func (r *Router) Carry(ctx context.Context, k *call.Call) (err error) {
	if k.Wait {
		err = r.carryWhenConnected(ctx, k)
	} else {
		err = r.once(ctx, k)
	}
	if k.Carried != nil { // it was between two sessions
		k.Carried.Strand(err)
		k.Carried = nil
	}
	return err
}

// reachable returns a fault if there is no connection, and ctx forbids to dial:
// libp2p would still wait for one that is direct, and the pool for another caller.
func (r *Router) reachable(ctx context.Context, p peer.ID) error {
	if forbidden, _ := network.GetNoDial(ctx); forbidden && !r.connected(ctx, p) {
		return r.dialFault(ctx, p, network.ErrNoConn)
	}
	return nil
}

// newStream opens a stream to a peer, with a connection to it if there
// is none. It is given up when ctx ends, or the client is closed.
func (r *Router) newStream(ctx context.Context, p peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	for {
		st, silent, err := r.open(ctx, p, protocols)
		switch {
		case err == nil:
			return st, nil
		case r.Over.Err() != nil && ctx.Err() == nil:
			return nil, call.Closed().NotSent(true)
		case !silent || call.HasEnded(ctx):
			return nil, r.dialFault(ctx, p, err)
		case !r.connected(ctx, p):
			return nil, r.Limits.Silent(p).NotSent(true)
		} // there is another connection, and the silent one is no more
	}
}

// dialFault is the fault of a call for which no stream could be opened: its
// request has not left.
func (r *Router) dialFault(ctx context.Context, p peer.ID, err error) *call.Fault {
	f := r.dialFailure(ctx, p, err).NotSent(true)
	if f.Limit == "" {
		f = f.Of(call.Dial)
	}
	return f
}

func (r *Router) dialFailure(ctx context.Context, p peer.ID, err error) *call.Fault {
	var unserved multistream.ErrNotSupported[protocol.ID]
	switch {
	case call.HasEnded(ctx):
		f := call.Ended(ctx)
		if r.onlyLimited(ctx, p) {
			f.What += "; " + limitedHint
		}
		return f
	case errors.As(err, &unserved):
		f := call.Fail(call.OfClient, codes.Unimplemented, "peer %v does not serve the protocol %v", p, unserved.Protos)
		f.Naming, f.Cause = true, call.Masked(err)
		return f
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return call.Fail(call.OfClient, codes.ResourceExhausted, "libp2p's resource manager refuses a stream to peer %v: %w", p, err).Named().Over(call.Libp2p)
	case call.IsTurnedAway(err):
		return call.TurnedAway(p, err)
	case r.onlyLimited(ctx, p):
		f := call.Fail(call.OfClient, codes.Unavailable, "no stream to peer %v: %s (%v)", p, limitedHint, err)
		f.Naming, f.Cause = true, network.ErrLimitedConn // err may be the end of a context, and not the caller's
		return f
	}
	return call.Fail(call.OfClient, codes.Unavailable, "no stream to peer %v: %w", p, err).Named()
}

// directWait is how long a call waits for a direct connection to a peer to
// which there is a relayed one: a hole is punched within seconds or not at
// all. It is what libp2p waits where the context has no deadline; with one it
// would be network.DialPeerTimeout, a minute.
const directWait = 10 * time.Second

const limitedHint = "there is only a relayed (limited) connection to the peer; allow it with network.WithAllowLimitedConn in the call's context"

// onlyLimited reports whether the peer is connected, and not in a way that the
// caller allows.
func (r *Router) onlyLimited(ctx context.Context, p peer.ID) bool {
	allowed, _ := network.GetAllowLimitedConn(ctx)
	return !allowed && r.Host.Network().Connectedness(p) == network.Limited
}

// awaitDirect bounds the wait for a direct connection, unless the caller has
// said how long that may take.
func (r *Router) awaitDirect(ctx context.Context, p peer.ID) context.Context {
	if network.GetDialPeerTimeout(ctx) != network.DialPeerTimeout || !r.onlyLimited(ctx, p) {
		return ctx
	}
	return network.WithDialPeerTimeout(ctx, min(directWait, network.DialPeerTimeout))
}

// connected reports whether there is a connection that calls with ctx may use.
func (r *Router) connected(ctx context.Context, p peer.ID) bool {
	switch r.Host.Network().Connectedness(p) {
	case network.Connected:
		return true
	case network.Limited:
		allowed, _ := network.GetAllowLimitedConn(ctx)
		return allowed
	}
	return false
}

// The pauses of a call that waits for a connection.
const (
	firstDialPause = 50 * time.Millisecond
	mostDialPause  = time.Second
)

// carryWhenConnected carries the call again and again until the peer has been
// reached. Most of the time libp2p refuses to dial at once, because it has
// tried not long ago.
func (r *Router) carryWhenConnected(ctx context.Context, k *call.Call) error {
	err := r.once(ctx, k)
	if !r.unreached(ctx, err) {
		return err
	}
	arrived, stop := r.arrivals(ctx, k.Peer)
	defer stop()
	pauses := call.Backoff(firstDialPause, mostDialPause)
	for r.unreached(ctx, err) {
		k.Live.Enters(tally.Connecting)
		if ended := call.Pause(ctx, r.Over, pauses.NextBackOff(), arrived); ended != nil {
			return afterFault(ended, k, err)
		}
		before := err
		r.Tally.Redials.Add(1)
		err = r.once(ctx, k)
		if f, own := err.(*call.Fault); own && f.Unsent && (ctx.Err() != nil || r.Over.Err() != nil) {
			err = afterFault(f, k, before)
		}
	}
	return err
}

// unreached reports whether err says that there was no way to the peer.
func (r *Router) unreached(ctx context.Context, err error) bool {
	f := call.FaultOf(err)
	return f != nil && f.Code == codes.Unavailable && f.Origin == call.OfClient && f.Unsent && ctx.Err() == nil && r.Over.Err() == nil
}

// afterFault makes f tell of err, which the call had before, as the program sees it.
func afterFault(f *call.Fault, k *call.Call, err error) *call.Fault {
	before := call.FaultOf(err)
	return f.After(k.Told(err), before != nil && before.Unsent)
}
