package rpc

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The types below are causes: [errors.As] finds one in an [Error] that the
// library made, and so tells what kind of thing failed where the code alone
// does not. Of the other kinds, [IsAuthorizationError] tells a refusal, and an
// error for which [IsRPCError] is false is the method's.

// DialError says that there was no connection or stream to the peer: the
// request was not sent ([Error.Unsent]).
type DialError struct {
	Peer peer.ID
	Err  error // what libp2p, or the context, said
}

// Error describes it.
func (e *DialError) Error() string { return fmt.Sprintf("no stream to peer %v: %v", e.Peer, e.Err) }

// Unwrap returns Err.
func (e *DialError) Unwrap() error { return e.Err }

// TransportError says that the stream or the session broke, or that the peer
// fell silent, before the reply was there. The request may have been served,
// unless [Error.Unsent] says otherwise.
type TransportError struct {
	Peer peer.ID
	Err  error // what the stream said; nil if the peer is silent
}

// Error describes it.
func (e *TransportError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("peer %v is silent", e.Peer)
	}
	return fmt.Sprintf("the stream to peer %v broke: %v", e.Peer, e.Err)
}

// Unwrap returns Err.
func (e *TransportError) Unwrap() error { return e.Err }

// LimitError says that a limit was reached, on this side or, for an error of
// type [ServerErr], on the server's.
type LimitError struct {
	// Limit names what sets it: a field, as "Limits.MessageSize", an option of
	// the package, or "libp2p", for its resource manager.
	Limit string
	Err   error // more about it, if there is more in this process
}

// Error describes it.
func (e *LimitError) Error() string { return "over the limit that " + e.Limit + " sets" }

// Unwrap returns Err.
func (e *LimitError) Unwrap() error { return e.Err }

// limitOfLibp2p is a [LimitError]'s Limit.
const limitOfLibp2p = "libp2p"

// over makes a LimitError the cause.
func (e *Error) over(limit string) *Error {
	e.cause = &LimitError{limit, e.cause}
	e.byLimit = e.Code == CodeDeadlineExceeded
	return e
}

// undialled makes a DialError the cause.
func (e *Error) undialled(p peer.ID) *Error {
	e.cause = &DialError{p, e.cause}
	return e.notSent(true)
}

// broke makes a TransportError the cause.
func (e *Error) broke(p peer.ID) *Error {
	e.cause = &TransportError{p, e.cause}
	return e
}
