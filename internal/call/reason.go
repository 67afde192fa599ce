package call

import (
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Reason is what a server's refusal is counted as. It has no words of a stranger's.
func Reason(err error) string {
	f := FaultOf(err)
	if f == nil {
		f = &Fault{Code: codes.Unknown}
	}
	return ReasonOf(f.Origin == OfAuthorization, f.Limit, f.Code)
}

// ReasonOf is the same by what an error says: whether the call was denied, the limit that
// was met, if one was, and the code.
func ReasonOf(denied bool, limit string, c codes.Code) string {
	switch {
	case denied:
		return state.Denied
	case limit != "":
		return limit
	case c == codes.Unavailable:
		return state.ShuttingDown
	case c == codes.Unimplemented:
		return state.NoMethod
	case c == codes.InvalidArgument:
		return state.BadRequest
	}
	return c.String()
}
