package rpc

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// directWait is how long a call waits for a direct connection to a peer to
// which there is a relayed one: a hole is punched within seconds or not at
// all. It is what libp2p waits where the context has no deadline; with one it
// would be network.DialPeerTimeout, a minute.
const directWait = 10 * time.Second

const limitedHint = "there is only a relayed (limited) connection to the peer; allow it with network.WithAllowLimitedConn in the call's context"

// onlyLimited reports whether the peer is connected, and not in a way that the
// caller allows.
func onlyLimited(ctx context.Context, h host.Host, p peer.ID) bool {
	allowed, _ := network.GetAllowLimitedConn(ctx)
	return !allowed && h.Network().Connectedness(p) == network.Limited
}

// awaitDirect bounds the wait for a direct connection, unless the caller has
// said how long that may take.
func awaitDirect(ctx context.Context, h host.Host, p peer.ID) context.Context {
	if network.GetDialPeerTimeout(ctx) != network.DialPeerTimeout || !onlyLimited(ctx, h, p) {
		return ctx
	}
	return network.WithDialPeerTimeout(ctx, min(directWait, network.DialPeerTimeout))
}
