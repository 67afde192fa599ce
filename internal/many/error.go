package many

import (
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Error joins the errors of peers.
type Error struct {
	call  string // what was called
	tally tally
	names func(p peer.ID, err error) bool
	peers []peer.ID
	errs  []error
}

// mostNamed is how many peers the text of an Error names.
const mostNamed = 16

// NewError returns one of calls of the named method, for Failed to be added. names
// reports whether an error's text says already that it is a peer's.
func NewError(method string, names func(peer.ID, error) bool) *Error {
	return &Error{call: method, names: names}
}

// Add adds the error of a peer, or without one that of all together.
func (e *Error) Add(p peer.ID, err error) {
	e.peers, e.errs = append(e.peers, p), append(e.errs, err)
}

// Failed returns the error, of a Fan that has ended.
func (f *Fan[R]) Failed(e *Error) error {
	e.tally = f.tally
	return e
}

func (e *Error) Error() string {
	var b strings.Builder
	t := &e.tally
	fmt.Fprintf(&b, "rpc: %s: %d of %d peers succeeded", e.call, t.succeeded, t.total)
	if t.Enough > 0 {
		fmt.Fprintf(&b, ", and %d were needed", t.Enough)
	}
	for i, err := range e.errs[:min(len(e.errs), mostNamed)] {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		if p := e.peers[i]; p != "" && !e.names(p, err) {
			b.WriteString("peer " + p.String() + ": ")
		}
		b.WriteString(err.Error())
	}
	if n := len(e.errs) - mostNamed; n > 0 {
		fmt.Fprintf(&b, "; and %d more", n)
	}
	return b.String()
}

func (e *Error) Unwrap() []error { return e.errs }
