package rpc

import (
	"math"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
)

// A session carries the unary calls of one client and one server on one
// stream. A request is what the wire would carry: a header, and the argument.
// A reply is a header, nil where there is no error, and the reply.

var sessionOK = []byte{msgpack.Nil}

// maxSessionHeader is the largest header that a request on a session has: it
// has to be in the first piece.
const maxSessionHeader = mux.FirstPiece

// sessionStream is a libp2p stream as a session wants it.
type sessionStream struct{ network.Stream }

func (l *Limits) session() mux.Limits {
	return mux.Limits{
		Calls: l.CallsPerPeer, Message: min(l.MessageSize, math.MaxInt32-responseLimits.Bytes) + responseLimits.Bytes,
		Silence: l.SilenceTimeout, Progress: l.ProgressTimeout, Idle: l.IdleTimeout,
	}
}
