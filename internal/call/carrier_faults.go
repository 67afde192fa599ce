package call

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// This file has the faults that more than one carrier makes.

// ErrClientClosed is why calls of a client that was closed have failed.
var ErrClientClosed = errors.New("the client was closed")

// Closed is the fault of a call whose client was closed.
func Closed() *Fault { return Fail(OfClient, codes.Unavailable, "%w", ErrClientClosed) }

// CallerGone is the fault of a call whose caller gave it up before all of it had
// arrived.
func CallerGone(what string, err error) *Fault {
	f := Fail(OfServer, codes.Canceled, "%s has not arrived: %w", what, err)
	f.Ended = context.Canceled
	return f
}

// Broken is the fault of a call whose stream or session broke, before the reply. Of a
// connection over a relay it says so: the relay ends it when its limit is reached.
func Broken(conn network.Conn, format string, args ...any) *Fault {
	f := Fail(OfClient, codes.Unavailable, format, args...).Of(Transport)
	if conn.Stat().Limited {
		f = f.With("the connection was limited: relays end one after 2 minutes or 128 KiB, or what else they are set to; a direct one has no such end")
		f.Cause = errors.Join(f.Cause, network.ErrLimitedConn)
	}
	return f
}

// Silent is the fault of a call whose peer is silent.
func (l *Limits) Silent(p peer.ID) *Fault {
	return Fail(OfClient, codes.Unavailable, "peer %v is silent: no answer to a ping, and nothing moves; Limits.SilenceTimeout (%v) sets how long it may be",
		p, l.SilenceTimeout).Named().Of(Transport)
}

// NoStream is the fault of a stream that libp2p's resource manager refuses here.
func NoStream(err error) *Fault {
	return Fail(OfClient, codes.ResourceExhausted, "libp2p's resource manager refuses the stream: %w", err).Over(Libp2p).NotSent(true)
}

// TurnedAway is the fault of a stream for which the peer has no room.
func TurnedAway(p peer.ID, err error) *Fault {
	return Fail(OfClient, codes.ResourceExhausted, "peer %v takes no more streams: its libp2p resource manager refuses this one: %w", p, err).
		Named().Over(Libp2p).NotSent(true)
}

// IsTurnedAway reports whether the peer's libp2p, or its server, had no room for
// the stream, before it looked at it.
func IsTurnedAway(err error) bool {
	var reset *network.StreamError
	return errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamResourceLimitExceeded
}

// IsUnserved reports whether the peer does not serve the stream's protocol.
func IsUnserved(err error) bool {
	var unserved multistream.ErrNotSupported[protocol.ID]
	var reset *network.StreamError
	return errors.As(err, &unserved) ||
		errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamProtocolNegotiationFailed
}
