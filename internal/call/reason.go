package call

import (
	"context"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Reason is what a server's refusal is counted as. It has no words of a stranger's.
func Reason(err error) string {
	f := FaultOf(err)
	switch {
	case f == nil:
		return ReasonOfCode(codes.Unknown)
	case f.Origin == OfAuthorization:
		return state.Denied
	case f.Limit != "":
		return f.Limit
	}
	return ReasonOfCode(f.Code)
}

// ReasonOfCode is the same of an error of a server that has this code, and no limit.
func ReasonOfCode(c codes.Code) string {
	switch c {
	case codes.Unavailable:
		return state.ShuttingDown
	case codes.Unimplemented:
		return state.NoMethod
	case codes.InvalidArgument:
		return state.BadRequest
	}
	return c.String()
}

// ImpliedCode is the code of an error that travels without one: all that a v0.6 peer
// tells. The texts are v0.6's, and Go's.
func ImpliedCode(o Origin, text string) codes.Code {
	switch o {
	case OfAuthorization:
		return codes.PermissionDenied
	case OfServer:
		switch {
		case strings.HasPrefix(text, "rpc: can't find "):
			return codes.Unimplemented
		case strings.HasPrefix(text, "msgpack decode error"):
			return codes.InvalidArgument
		}
		return codes.Internal
	}
	switch text {
	case context.Canceled.Error():
		return codes.Canceled
	case context.DeadlineExceeded.Error():
		return codes.DeadlineExceeded
	}
	return codes.Unknown
}
