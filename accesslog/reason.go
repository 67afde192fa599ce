package accesslog

import (
	"errors"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Why a server turns a call away.
const (
	Denied     = "denied"     // the caller may not call the method
	Overloaded = "overloaded" // there is no place for the call, or the caller makes too many
	Closing    = "closing"    // the server is shutting down
	Unserved   = "unserved"   // no such method, an argument that does not fit, a bad header
)

// Reason tells why a server has turned a call away, by the error that
// [rpc.WithRefusedFunc]'s function gets.
func Reason(err error) string {
	var e *rpc.Error
	switch unsent := errors.As(err, &e) && e.Unsent(); {
	case rpc.IsAuthorizationError(err):
		return Denied
	case unsent && e.Code == codes.Unavailable:
		return Closing
	case unsent:
		return Overloaded
	}
	return Unserved
}
