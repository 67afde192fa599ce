package rpc

import (
	"context"
	"iter"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
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
	// [fan.WriteQuorum]; see Rest.
	Going []peer.ID
	// Cancelled are those whose calls were cancelled, for the others were enough.
	// Their methods may have run.
	Cancelled []peer.ID
	// NotCalled are those that were not called and will not be.
	NotCalled []peer.ID

	calls *many.Fan[R]
}

// Rest yields what becomes of the calls that go on ([fan.WriteQuorum]), as they end,
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

// CallAll calls the method on many peers and yields each one's result as it
// arrives:
//
//	for peer, result := range Status.CallAll(ctx, client, peers, Query{}, rpc.CallTimeout(time.Second)) {
//		if result.Err != nil { ... }
//	}
//
// Every peer is called once, though it be in dests several times; an empty ID
// is the host's own, and its call is local. The argument is encoded once for
// all, when the loop begins. Every call is one of [Method.Call], under the same
// rules and options: [CallTimeout] is what each peer has. Package fan has options
// for all together: how many calls at once, and how many successes are enough.
//
// The calls are made by the loop: none before it, and all again by another.
// Where it ends early, by break or because there are enough results, the calls
// under way are cancelled, their methods' contexts too, and no goroutine of
// theirs is left; with [fan.WriteQuorum] they go on. When ctx ends, the peers that
// have not answered yield its error. Without dests nothing is yielded.
func (m *Method[A, R]) CallAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...fan.Option) iter.Seq2[peer.ID, Result[R]] {
	return callLoop(ctx, func() *many.Fan[R] { return m.callAll(ctx, c, dests, arg, opts) })
}

// callLoop yields the results of calls that each loop starts.
func callLoop[R any](ctx context.Context, start func() *many.Fan[R]) iter.Seq2[peer.ID, Result[R]] {
	return func(yield func(peer.ID, Result[R]) bool) {
		f := start()
		defer f.End()
		f.Each(waiting(ctx, f), resultOf(yield))
	}
}

func (m *Method[A, R]) callAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts []fan.Option) *many.Fan[R] {
	dests, config, calls := c.fanOut(m.id, Unary, dests, &m.config, opts)
	o, encoded := c.settled(m.config.calls, calls), c.encodeOnce(dests, arg)
	f := many.New[R](ctx, dests, config)
	f.Start(func(ctx context.Context, dest peer.ID, _ func(R) bool) (r many.Event[R]) {
		r.Has, r.Err = true, c.callEach(ctx, o, dest, m.id, encoded, &r.Value)
		return r
	})
	return f
}

// CollectAll is [Method.CallAll] that waits for the results. Its error is nil
// if all peers succeeded or, where [fan.First], [fan.Quorum] or [fan.WriteQuorum] say
// how many are enough, if so many did. Otherwise its text names the peers that failed,
// the first of them if there are many, with their errors, which errors.Is and
// errors.As find in it.
func (m *Method[A, R]) CollectAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...fan.Option) (Results[R], error) {
	return collect(ctx, m.id, m.callAll(ctx, c, dests, arg, opts))
}

// collect gathers the results of calls, and ends them.
func collect[R any](ctx context.Context, id ServiceID, f *many.Fan[R]) (Results[R], error) {
	defer f.End()
	got := Results[R]{Values: make(map[peer.ID]R), Errors: make(map[peer.ID]error), calls: f}
	failed := many.NewError(id.String(), namesPeer)
	f.Each(waiting(ctx, f), func(e many.Event[R]) bool {
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

// namesPeer reports whether an error of a peer's call says so: the library's own
// mostly do.
func namesPeer(p peer.ID, err error) bool {
	own, ok := err.(*Error)
	return ok && own.kind != NonRPCErr && strings.Contains(err.Error(), "peer "+p.String())
}

// waiting is the context that bounds waiting for results: the calls' own ends bring
// theirs, unless they go on without the caller's.
func waiting[R any](ctx context.Context, f *many.Fan[R]) context.Context {
	if f.Detached {
		return ctx
	}
	return context.Background()
}

// resultOf makes a loop over events of one over results.
func resultOf[R any](yield func(peer.ID, Result[R]) bool) func(many.Event[R]) bool {
	return func(e many.Event[R]) bool { return yield(e.Peer, Result[R]{e.Value, e.Err}) }
}

// fanOut settles the options of a call of many peers: whom to call, how, and the
// options of each call.
func (c *Client) fanOut(id ServiceID, kind Kind, dests []peer.ID, method *methodConfig, opts []fan.Option) ([]peer.ID, many.Config, []CallOption) {
	config := many.Config{
		Options: many.Of(opts, fan.Option.ApplyFan), Closed: c.over,
		Ended: func(p peer.ID, err error, why *call.Fault) error {
			return view{id: id, peer: p, client: true, typed: true}.render(why.NotSent(unsent(err)))
		},
	}
	calls := make([]CallOption, len(config.Calls))
	for i, o := range config.Calls {
		calls[i] = o.(CallOption)
	}
	config.Bounded = config.Write && c.settled(method.calls, calls).bound(kind, false) > 0
	return c.distinct(dests), config, calls
}

// distinct returns each destination once, by the name that its results have.
func (c *Client) distinct(dests []peer.ID) []peer.ID {
	seen := make(map[peer.ID]struct{}, len(dests))
	all := make([]peer.ID, 0, len(dests))
	for _, dest := range dests {
		if c.isLocal(dest) {
			dest = c.id
		}
		if _, again := seen[dest]; !again {
			seen[dest] = struct{}{}
			all = append(all, dest)
		}
	}
	return all
}
