package fan

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

// Result is what one peer answered to a call of many.
type Result[R any] struct {
	// Value is the reply. It is there beside a method's error too.
	Value R
	// Err is the error of the peer's call, nil if it succeeded.
	Err error
}

// Results are the results of a call of many peers, when it has been answered. Each
// peer is in one of the fields.
type Results[R any] struct {
	// Values are the replies of the calls that succeeded.
	Values map[peer.ID]R
	// Errors are the errors of those that did not.
	Errors map[peer.ID]error
	// Going are the peers whose calls go on, or are still to be made, after a
	// [WriteQuorum]; see Rest.
	Going []peer.ID
	// Cancelled are those whose calls were cancelled, for the others were enough.
	// Their methods may have run.
	Cancelled []peer.ID
	// NotCalled are those that were not called and will not be.
	NotCalled []peer.ID

	calls *many.Fan[R]
}

// Rest yields what becomes of the calls that go on ([WriteQuorum]), as they end,
// until all of Going have come; another loop yields all of it again. If ctx ends before,
// the last result has no peer and the context's error, and the calls go on. To loop is
// not necessary: nothing waits for it. It is safe for concurrent use.
func (r Results[R]) Rest(ctx context.Context) iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) {
		if r.calls != nil {
			r.calls.Rest(ctx, resultOf(yield))
		}
	}
}

// collect gathers the results of calls, and ends them.
func collect[R any](ctx context.Context, f *many.Fan[R]) (Results[R], error) {
	defer f.End()
	got := Results[R]{Values: make(map[peer.ID]R), Errors: make(map[peer.ID]error), calls: f}
	failed := new(many.Error)
	f.Each(f.Waiting(ctx), func(e many.Event[R]) bool {
		switch {
		case e.Err == nil:
			got.Values[e.Peer] = e.Value
			return true
		case !e.Ended:
			got.Errors[e.Peer] = e.Err
		}
		if !e.Answer {
			failed.Add(e.Peer, e.Err)
		}
		return true
	})
	f.End()
	called, not := f.Left()
	if got.NotCalled = not; f.WereLetGo() {
		got.Going = called
	} else {
		got.Cancelled = called
	}
	if f.Reached() {
		return got, nil
	}
	return got, f.Failed(failed)
}

// resultOf makes a loop over events of one over results.
func resultOf[R any](yield func(peer.ID, Result[R]) bool) func(many.Event[R]) bool {
	return func(e many.Event[R]) bool { return yield(e.Peer, Result[R]{e.Value, e.Err}) }
}
