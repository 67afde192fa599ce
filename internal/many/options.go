// Package many makes calls of many peers at once: as many as there may be, until
// enough have answered. It knows of calls only that they are functions.
package many

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Options are what package fan's options say together.
type Options struct {
	Calls    []any // of each call; the root knows of what type
	InFlight int   // below 1: all
	Enough   int   // successes; below 1: all are waited for
	Strict   bool  // the results end when there cannot be enough
	Write    bool  // calls under way go on when the results have ended
	Detached bool  // so they do when the caller's context has ended before
	Answers  func(error) bool

	Buffer int           // arguments held for each peer
	Stall  time.Duration // 0: a peer without room is waited for
}

// defaultBuffer is that of fan.Buffer.
const defaultBuffer = 16

// Of returns what options say, each of which is applied by its method.
func Of[O any](opts []O, apply func(O, *Options)) Options {
	o := Options{Buffer: defaultBuffer}
	for _, opt := range opts {
		apply(opt, &o)
	}
	o.Detached = o.Detached && o.Write
	return o
}

// tally counts the peers that have succeeded, and those that may yet. An error that
// is an answer is a success.
type tally struct {
	Options
	total, left, succeeded int
}

// add counts a peer's end, and reports whether it is a success.
func (t *tally) add(err error) bool {
	t.left--
	if err != nil && (t.Answers == nil || !t.Answers(err)) {
		return false
	}
	t.succeeded++
	return true
}

// reached reports whether as many have succeeded as were asked for: all, if none
// were.
func (t *tally) reached() bool {
	if t.Enough > 0 {
		return t.succeeded >= t.Enough
	}
	return t.succeeded == t.total
}

func (t *tally) reachable() bool { return !t.Strict || t.succeeded+t.left >= t.Enough }

func (t *tally) goesOn() bool {
	return t.left > 0 && !(t.Enough > 0 && t.reached()) && t.reachable()
}

// Event is something that comes from a peer.
type Event[R any] struct {
	Peer  peer.ID
	Value R
	Err   error
	Has   bool // there is a value or an error
	last  bool // of the peer's
	at    int  // which peer, of the last

	Answer bool // the last, and a success
	Ended  bool // of no peer: the context of who waits for events has ended
}
