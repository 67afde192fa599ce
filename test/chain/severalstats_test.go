package chain_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// inTurn notes what it is told, and what those before have made of the context.
type inTurn struct {
	name     string
	payloads bool
	seen     *[]string
}

type inTurnKey struct{ of *[]string } // a local call has the contexts of both sides

func (h *inTurn) WantsPayloads() bool { return h.payloads }

func (h *inTurn) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	before, _ := ctx.Value(inTurnKey{h.seen}).(string)
	*h.seen = append(*h.seen, h.name+" tags "+before)
	return context.WithValue(ctx, inTurnKey{h.seen}, before+h.name)
}

func (h *inTurn) HandleRPC(ctx context.Context, event stats.RPCStats) {
	*h.seen = append(*h.seen, fmt.Sprintf("%s %T %s", h.name, event, ctx.Value(inTurnKey{h.seen})))
}

// Several stats handlers are told, in turn, each with the context that the one before
// has made. Payloads are told of if one of them wants them.
func TestSeveralStatsHandlers(t *testing.T) {
	t.Parallel()
	for _, payloads := range []bool{false, true} {
		var seen, client []string
		s := rig.Local.With(t, rig.Arith{}, rig.Options{
			Server: []rpc.ServerOption{
				rpc.WithServerStatsHandler(&inTurn{"a", payloads, &seen}), rpc.WithServerStatsHandler(&inTurn{"b", false, &seen}),
			},
			Client: []rpc.ClientOption{
				rpc.WithClientStatsHandler(&inTurn{"a", false, &client}), rpc.WithClientStatsHandler(&inTurn{"b", payloads, &client}),
			},
		})
		var n int
		if err := s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil {
			t.Fatal(err)
		}
		begin := []string{"a tags ", "b tags a", "a *stats.Begin ab", "b *stats.Begin ab"}
		end := []string{"a *stats.End ab", "b *stats.End ab"}
		in, out := []string{"a *stats.InPayload ab", "b *stats.InPayload ab"}, []string{"a *stats.OutPayload ab", "b *stats.OutPayload ab"}
		atServer, atClient := slices.Concat(begin, end), slices.Concat(begin, end)
		if payloads {
			atServer, atClient = slices.Concat(begin, in, out, end), slices.Concat(begin, out, in, end)
		}
		if !slices.Equal(seen, atServer) || !slices.Equal(client, atClient) {
			t.Errorf("payloads %v: got %q and %q", payloads, seen, client)
		}
	}
}

// A handler that wants no payloads is told of none, over every transport, unary and
// streaming.
func TestStatsWithoutPayloads(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		server := make(chan string, 100)
		client := make(chan string, 100)
		s := with(rig.Arith{}, rig.Options{
			Server: []rpc.ServerOption{rpc.WithServerStatsHandler(ends{server})},
			Client: []rpc.ClientOption{rpc.WithClientStatsHandler(ends{client})},
		})
		var n int
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
			t.Fatal(n, err)
		}
		args := make(chan rig.Args, 1)
		args <- rig.Args{A: 7, B: 2}
		close(args)
		if _, err := rig.Stream(rig.Context(t), t, s, "Divides", args, rig.Quotient{}); err != nil {
			t.Fatal(err)
		}
		for _, side := range []chan string{client, server} {
			for _, want := range []string{"*stats.Begin", "*stats.End", "*stats.Begin", "*stats.End"} {
				if got := rig.Take(t, want, side); got != want {
					t.Errorf("told of %s, not %s", got, want)
				}
			}
		}
	})
}

// ends wants no payloads.
type ends struct{ told chan<- string }

func (ends) WantsPayloads() bool                                             { return false }
func (ends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (e ends) HandleRPC(_ context.Context, event stats.RPCStats)             { e.told <- fmt.Sprintf("%T", event) }
