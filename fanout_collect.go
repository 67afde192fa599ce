package rpc

import (
	"context"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Results are the results of a call of many peers, once it is over. A peer
// that was not waited for, because enough others had succeeded, is in neither
// map.
type Results[R any] struct {
	// Values are the replies of the calls that succeeded.
	Values map[peer.ID]R
	// Errors are the errors of those that did not.
	Errors map[peer.ID]error
}

// CollectAll is [Method.CallAll] that waits for the results. Its error is nil
// if all peers succeeded or, where [FanFirst] or [FanQuorum] say how many are
// enough, if so many did. Otherwise its text names the peers that failed, the
// first of them if there are many, with their errors, which errors.Is and
// errors.As find in it.
func (m *Method[A, R]) CollectAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...FanOption) (Results[R], error) {
	f := fanConfigOf(opts)
	t := tally{left: len(c.distinct(dests)), fanConfig: f}
	return collect(m.id, &t, func(yield func(peer.ID, Result[R]) bool) bool {
		for p, result := range fanOut[R](ctx, c, &m.config, m.id, dests, arg, f) {
			t.add(result.Err)
			yield(p, result)
		}
		return true
	})
}

// collect gathers what results yields. t is of when it has.
func collect[R any](id ServiceID, t *tally, results func(func(peer.ID, Result[R]) bool) bool) (Results[R], error) {
	got := Results[R]{make(map[peer.ID]R), make(map[peer.ID]error)}
	failed := &fanError{id: id}
	results(func(p peer.ID, result Result[R]) bool {
		if result.Err != nil {
			got.Errors[p] = result.Err
			failed.add(p, result.Err)
		} else {
			got.Values[p] = result.Value
		}
		return true
	})
	if t.enough > 0 && t.reached() || t.enough <= 0 && t.left+len(failed.errs) == 0 {
		return got, nil
	}
	failed.tally = *t
	return got, failed
}

// fanError joins the errors of peers.
type fanError struct {
	id    ServiceID
	tally tally
	peers []peer.ID
	errs  []error
}

// mostNamed is how many peers the text of a fanError names.
const mostNamed = 16

func (e *fanError) add(p peer.ID, err error) {
	e.peers, e.errs = append(e.peers, p), append(e.errs, err)
}

func (e *fanError) Error() string {
	var b strings.Builder
	t := &e.tally
	fmt.Fprintf(&b, "rpc: %v: %d of %d peers succeeded", e.id, t.succeeded, t.succeeded+len(e.errs)+t.left)
	if t.enough > 0 {
		fmt.Fprintf(&b, ", and %d were needed", t.enough)
	}
	for i, err := range e.errs[:min(len(e.errs), mostNamed)] {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		p, text := "peer "+e.peers[i].String(), err.Error()
		if own, ok := err.(*Error); !ok || own.kind == NonRPCErr || !strings.Contains(text, p) {
			b.WriteString(p + ": ") // the library's own mostly say it
		}
		b.WriteString(text)
	}
	if n := len(e.errs) - mostNamed; n > 0 {
		fmt.Fprintf(&b, "; and %d more", n)
	}
	return b.String()
}

func (e *fanError) Unwrap() []error { return e.errs }
