package rpc

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// carryRemote carries a call to another peer, with a connection as its options
// want it.
func (c *Client) carryRemote(ctx context.Context, call *CallInfo) error {
	if call.options == nil {
		return c.remote.carry(ctx, call)
	}
	switch call.options.dial {
	case dialNever:
		if !c.connected(ctx, call.Peer) {
			return dialError(ctx, c.host, call, network.ErrNoConn).notSent(true)
		}
	case dialWaiting:
		return c.carryWhenConnected(ctx, call)
	}
	return c.remote.carry(ctx, call)
}

// newStream opens a stream to the call's peer, with a connection to it if there
// is none. It is given up when ctx ends, or the client is closed.
func (c *Client) newStream(ctx context.Context, call *CallInfo, protocols ...protocol.ID) (network.Stream, error) {
	open, cancel := context.WithCancel(awaitDirect(ctx, c.host, call.Peer))
	defer cancel()
	defer context.AfterFunc(c.open.ctx, cancel)()
	st, err := c.host.NewStream(open, call.Peer, protocols...)
	switch {
	case err == nil:
		return st, nil
	case c.closed.Load() && ctx.Err() == nil:
		return nil, c.closedError(call.ID()).notSent(true)
	}
	return nil, dialError(ctx, c.host, call, err)
}

// connected reports whether there is a connection that calls with ctx may use.
func (c *Client) connected(ctx context.Context, p peer.ID) bool {
	switch c.host.Network().Connectedness(p) {
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
func (c *Client) carryWhenConnected(ctx context.Context, call *CallInfo) error {
	err := c.remote.carry(ctx, call)
	if !c.unreached(ctx, call, err) {
		return err
	}
	arrived := make(chan struct{}, 1)
	notifiee := &network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
		if conn.RemotePeer() == call.Peer {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	}}
	c.host.Network().Notify(notifiee)
	defer c.host.Network().StopNotify(notifiee)
	if c.connected(ctx, call.Peer) { // before anybody looked
		arrived <- struct{}{}
	}
	pauses := exponential(firstDialPause, mostDialPause)
	for c.unreached(ctx, call, err) {
		if err := c.pause(ctx, call, pauses.NextBackOff(), arrived, err); err != nil {
			return err
		}
		before := err
		err = c.remote.carry(ctx, call)
		if e, own := err.(*Error); own && e.Unsent() && (ctx.Err() != nil || c.closed.Load()) {
			err = e.after(before)
		}
	}
	return err
}

// unreached reports whether err says that there was no way to the peer.
func (c *Client) unreached(ctx context.Context, call *CallInfo, err error) bool {
	return CodeOf(err) == CodeUnavailable && IsClientError(err) && unsent(err) && ctx.Err() == nil && !c.closed.Load()
}
