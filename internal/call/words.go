package call

import (
	"context"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// View is who sees a fault.
type View struct {
	ID        ID
	Peer      peer.ID // empty in a server, and without a host
	Client    bool
	Typed     bool // the call is of a method value
	Streaming bool
}

// Text names what was called and, in a client, the peer.
func (v View) Text(f *Fault) string {
	id := v.ID.String()
	if f.Words != "" {
		return f.Words + v.names(f)
	}
	text := "rpc: "
	if v.ID != (ID{}) {
		text += id + ": "
	}
	if v.Client && v.Peer != "" && !f.Naming {
		text += "peer " + v.Peer.String() + ": "
	}
	return text + f.What + f.SetBy + v.advice(f) + f.Also
}

// names is what follows v0.6's words, which stay as they are at the beginning.
func (v View) names(f *Fault) string {
	id := v.ID.String()
	named := strings.Contains(f.Words, id)
	switch {
	case !v.Client, v.Peer == "" && named:
		return ""
	case v.Peer == "":
		return " (" + id + ")"
	case named:
		return " (peer " + v.Peer.String() + ")"
	}
	return " (" + id + ", peer " + v.Peer.String() + ")"
}

// The advice for methods that are called by their names. A method value is
// declared with a type and a kind, and a stream has no pointer to its reply.
const (
	AdviceCall   = "; call it with Call, Go or MultiCall"
	AdviceStream = "; call it with Stream or MultiStream"
)

func (v View) advice(f *Fault) string {
	switch f.Advice {
	case PassValue:
		return "; pass a value of that type"
	case PassPointer:
		if v.Typed || v.Streaming {
			return ", which does not fit the " + strings.TrimPrefix(f.Into, "*") + " that is expected here"
		}
		return ", which does not fit a " + f.Into + "; pass a pointer to that type"
	case UseUnary:
		if v.Typed {
			return "; declare it with NewMethod"
		}
		return AdviceCall
	case UseStream:
		if v.Typed {
			return "; declare it with NewServerStream, NewClientStream or NewDuplex"
		}
		return AdviceStream
	}
	return ""
}

// ImpliedCode is the code of an error that travels without one: all that a
// v0.6 peer tells. The texts are v0.6's, and Go's.
func ImpliedCode(origin Origin, text string) codes.Code {
	switch origin {
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
