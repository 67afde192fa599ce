package many

import (
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Error joins the errors of peers.
type Error struct {
	config *Config
	tally  tally
	peers  []peer.ID
	errs   []error
}

// mostNamed is how many peers the text of an Error names.
const mostNamed = 16

// Add adds the error of a peer, or without one that of all together.
func (e *Error) Add(p peer.ID, err error) {
	e.peers, e.errs = append(e.peers, p), append(e.errs, err)
}

// Failed completes the error, when the Fan has ended.
func (f *Fan[R]) Failed(e *Error) error {
	e.config, e.tally = &f.Config, f.tally
	if t := &f.tally; !f.started && t.total > 0 && t.Strict && t.Enough > t.total {
		e.Add("", f.Config.Ended("", nil, call.Fail(call.OfClient, codes.FailedPrecondition,
			"%d different peers are fewer than are needed: none was called", t.total)))
	}
	return e
}

func (e *Error) Error() string {
	var b strings.Builder
	t := &e.tally
	fmt.Fprintf(&b, "rpc: %s: %d of %d peers succeeded", e.config.Method, t.succeeded, t.total)
	if t.Enough > 0 {
		fmt.Fprintf(&b, ", and %d were needed", t.Enough)
	}
	for i, err := range e.errs[:min(len(e.errs), mostNamed)] {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		if p := e.peers[i]; p != "" && !e.config.Names(p, err) {
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
