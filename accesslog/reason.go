package accesslog

import (
	"errors"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Reason tells why a server has turned a call away, by the error that
// [rpc.WithRefusedFunc]'s function gets, in the words by which [rpc.Server.State] counts
// refusals: those of package state, the limit that was met, as "Limits.CallsPerPeer", or
// the name of a code.
func Reason(err error) string {
	limit := new(rpc.LimitError)
	_ = errors.As(err, &limit)
	return call.ReasonOf(rpc.IsAuthorizationError(err), limit.Limit, rpc.CodeOf(err))
}
