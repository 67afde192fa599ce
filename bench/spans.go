package main

import (
	"context"
	"fmt"
	netrpc "net/rpc"

	"github.com/libp2p/go-libp2p/p2p/net/gostream"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// nameGob is net/rpc with structs, which its gob encodes.
const nameGob = "net/rpc with gob"

// spanEcho makes a call that echoes spans.
type spanEcho struct {
	name string
	echo func(ctx context.Context, in []rig.Span) ([]rig.Span, error)
}

// spans compares echoes of batches of structs, on one connection.
func spans(ctx context.Context) ([]cell, func(), error) {
	p, err := newPair(ctx, rig.OverTCP)
	if err != nil {
		return nil, nil, err
	}
	conn, err := gostream.Dial(ctx, p.a, p.b.ID(), netrpcProtocol)
	if err != nil {
		p.close()
		return nil, nil, err
	}
	gob := netrpc.NewClient(conn)
	protobuf, err := dialSpansGRPC(p.a, p.b.ID())
	if err != nil {
		_ = gob.Close()
		p.close()
		return nil, nil, err
	}
	session := rpc.NewClient(p.a, protocol)
	wire := rpc.NewClient(p.a, protocol, rpc.WithClientSessions(false))
	by := func(client *rpc.Client) func(context.Context, []rig.Span) ([]rig.Span, error) {
		return func(ctx context.Context, in []rig.Span) (out []rig.Span, err error) {
			err = client.CallContext(ctx, p.b.ID(), "Echo", "Spans", in, &out)
			return out, err
		}
	}
	all := []spanEcho{
		{nameGob, func(_ context.Context, in []rig.Span) (out []rig.Span, err error) {
			err = gob.Call("Echo.Spans", in, &out)
			return out, err
		}},
		{nameSession, by(session)},
		{nameWire, by(wire)},
	}
	var cells []cell
	for _, n := range rig.SpanCounts {
		in := rig.NewSpans(n)
		for _, callers := range rig.SpanCallers {
			c := cell{name: fmt.Sprintf("spans: %d, %s", n, callersText(callers))}
			for _, s := range all {
				c.contestants = append(c.contestants, s.contestant(callers, in))
			}
			c.contestants = append(c.contestants, protobufContestant(protobuf, callers, in))
			cells = append(cells, c)
		}
	}
	return cells, func() {
		_ = session.Close()
		_ = wire.Close()
		_ = gob.Close()
		_ = protobuf.Close()
		p.close()
	}, nil
}

// contestant makes the spans go there and back by so many callers.
func (s spanEcho) contestant(callers int, in []rig.Span) contestant {
	call := func(check func(got, want []rig.Span) error) func(context.Context) error {
		return func(ctx context.Context) error {
			out, err := s.echo(ctx, in)
			if err != nil {
				return err
			}
			return check(out, in)
		}
	}
	return contestant{name: s.name, run: rig.Parallel(callers, call(rig.AlikeSpans)), verify: call(rig.SameSpans)}
}
