package accesslog

import (
	"errors"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Reason tells why a server has turned a call away, by the error that
// [rpc.WithRefusedFunc]'s function gets, in the words by which [rpc.Server.State] counts
// refusals: [state.Denied], [state.NoMethod], [state.BadRequest], [state.ShuttingDown],
// the limit that was met, as "Limits.CallsPerPeer", or the name of a code.
func Reason(err error) string {
	var limit *rpc.LimitError
	switch {
	case rpc.IsAuthorizationError(err):
		return state.Denied
	case errors.As(err, &limit):
		return limit.Limit
	}
	return call.ReasonOfCode(rpc.CodeOf(err))
}
