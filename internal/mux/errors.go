package mux

import (
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// Errors of sessions.
var (
	ErrSilent   = errors.New("the peer is silent")
	ErrStalled  = errors.New("no progress")
	ErrIdle     = errors.New("the session was idle")
	ErrMemory   = account.ErrMemory
	ErrProtocol = errors.New("the peer breaks the protocol of sessions")
)

// TooLargeError says that a message is over the limit.
type TooLargeError struct {
	Size, Max uint64
	Request   bool // and not the reply
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d bytes, and %d may be", e.Size, e.Max)
}

// RequestError says that a request was not sent, for want of memory.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

func (e *RequestError) Unwrap() error { return e.Err }

// The codes of a cancel and a refusal that mean something here. The first is
// no code of gRPC's errors, the others are.
const (
	noMore           = 0  // the call goes on, but no more of the request comes
	canceled         = 1  // CANCELLED
	refusedForMemory = 8  // RESOURCE_EXHAUSTED
	refusedForNow    = 14 // UNAVAILABLE: the client may ask again
)

// UnbegunError is the error of a call whose context has ended while it waited for its
// turn: nothing of it was sent.
type UnbegunError struct{ Err error }

func (e *UnbegunError) Error() string { return fmt.Sprintf("before its turn: %v", e.Err) }

func (e *UnbegunError) Unwrap() error { return e.Err }

// EndedError says that the session ended, or takes no more calls.
type EndedError struct {
	Err error
	// Sent is whether anything of the request may have reached the server. If
	// not it can be sent again elsewhere.
	Sent bool
	// Before is whether it had ended when the call was made.
	Before bool
}

func (e *EndedError) Error() string {
	if e.Sent {
		return fmt.Sprintf("the session ended while the request was under way: %v", e.Err)
	}
	return fmt.Sprintf("the session ended before the request was sent: %v", e.Err)
}

func (e *EndedError) Unwrap() error { return e.Err }

// GoAwayError says that the server takes no more calls on the session, and why.
type GoAwayError struct {
	Code uint64
	Text string
}

func (e *GoAwayError) Error() string {
	return "the peer takes no more calls on this session: " + e.Text
}

// RefusedError says that the server did not look at the request.
type RefusedError struct {
	Code uint64
	Text string
}

func (e *RefusedError) Error() string { return e.Text }

// NoPlaceError says that a call has waited too long for one of so many places.
type NoPlaceError struct{ Places int }

func (e *NoPlaceError) Error() string { return fmt.Sprintf("none of %d places became free", e.Places) }

// AbortedError says that the server ended the call without a reply.
type AbortedError struct{}

func (*AbortedError) Error() string { return "the server ended the call without a reply" }

// isOfCall reports whether a message's error leaves the session as it is.
func isOfCall(err error) bool {
	return errors.Is(err, ErrMemory) || errors.As(err, new(*TooLargeError))
}

// reason is a peer's text, fit to be shown.
func reason(b []byte) string {
	return strings.ToValidUTF8(string(b[:min(len(b), maxText)]), "\uFFFD")
}

// cut is what of a text travels.
func cut(text string) []byte { return []byte(text[:min(len(text), maxText)]) }
