package call

import (
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
