package rpc

import (
	"context"
	"iter"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

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
func (m *Method[A, R]) CallAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...fan.Option) iter.Seq2[peer.ID, fan.Result[R]] {
	return callLoop(ctx, func() *many.Fan[R] { return m.callAll(ctx, c, dests, arg, opts) })
}

// callLoop yields the results of calls that each loop starts.
func callLoop[R any](ctx context.Context, start func() *many.Fan[R]) iter.Seq2[peer.ID, fan.Result[R]] {
	return func(yield func(peer.ID, fan.Result[R]) bool) {
		f := start()
		defer f.End()
		f.Each(f.Waiting(ctx), func(e many.Event[R]) bool {
			return yield(e.Peer, fan.Result[R]{Value: e.Value, Err: e.Err})
		})
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
func (m *Method[A, R]) CollectAll(ctx context.Context, c *Client, dests []peer.ID, arg A, opts ...fan.Option) (fan.Results[R], error) {
	return (*fan.ClientStream[A, R])(many.Sent[A](m.callAll(ctx, c, dests, arg, opts))).Finish(ctx)
}

// namesPeer reports whether an error of a peer's call says so: the library's own
// mostly do.
func namesPeer(p peer.ID, err error) bool {
	own, ok := err.(*Error)
	return ok && own.kind != NonRPCErr && strings.Contains(err.Error(), "peer "+p.String())
}

// fanOut settles the options of a call of many peers: whom to call, how, and the
// options of each call.
func (c *Client) fanOut(id ServiceID, kind Kind, dests []peer.ID, method *methodConfig, opts []fan.Option) ([]peer.ID, many.Config, []CallOption) {
	config := many.Config{
		Options: many.Of(opts, fan.Option.ApplyFan), Closed: c.over,
		Ended: func(p peer.ID, err error, why *call.Fault) error {
			return render(call.View{ID: call.ID(id), Peer: p, Client: true, Typed: true}, why.NotSent(unsent(err)))
		},
		Again: func() error {
			return fail(id, "", codes.FailedPrecondition, "Finish was called before, and has returned the results")
		},
		Method: id.String(), Names: namesPeer,
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
