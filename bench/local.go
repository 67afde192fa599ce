package main

import (
	"context"
	"errors"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const (
	localCalls      = "Local calls"
	byPointer       = "argument by pointer"
	byValue         = "argument by value"
	byBytes         = "64 B, as to a peer"
	itself          = "the method itself"
	nameCall        = "Call"
	nameCancellable = "CallContext, cancellable"
	nameTyped       = "typed call"
	nameTypedToo    = "typed call, cancellable"
)

// caller is what a local call saves: a call through an interface, which the
// compiler cannot see through.
type caller interface {
	Multiply(context.Context, *Args, *int) error
	Divide(context.Context, Args, *int) error
	Bytes(context.Context, []byte, *[]byte) error
}

// local compares calls by the short cut with the method itself.
func local(ctx context.Context) ([]cell, func(), error) {
	server := rpc.NewServer(nil, protocol)
	if err := errors.Join(server.Register(Echo{}), handleTyped(server)); err != nil {
		return nil, nil, err
	}
	client := rpc.NewClientWithServer(nil, protocol, server)
	cancellable, cancel := context.WithCancel(ctx)
	times := func(name string, op func(context.Context) error, ctx context.Context) contestant {
		return contestant{name: name, run: func(_ context.Context, n int) error {
			for range n {
				if err := op(ctx); err != nil {
					return err
				}
			}
			return nil
		}}
	}
	compare := func(name, method string, args, reply any, direct, typed func(context.Context) error) cell {
		call := func(ctx context.Context) error { return client.CallContext(ctx, "", "Echo", method, args, reply) }
		return cell{name: name, contestants: []contestant{
			times(itself, direct, ctx),
			times(nameCall, call, context.Background()),
			times(nameCancellable, call, cancellable),
			times(nameTyped, typed, context.Background()),
			times(nameTypedToo, typed, cancellable),
		}}
	}
	var echo caller = Echo{}
	args, result := &Args{6, 7}, new(int)
	m, reply := newMessage(64).body(), new([]byte)
	cells := []cell{
		compare(byPointer, "Multiply", args, result, func(ctx context.Context) error { return echo.Multiply(ctx, args, result) },
			func(ctx context.Context) (err error) {
				*result, err = typedMultiply.Call(ctx, client, "", args)
				return err
			}),
		compare(byValue, "Divide", *args, result, func(ctx context.Context) error { return echo.Divide(ctx, *args, result) },
			func(ctx context.Context) (err error) {
				*result, err = typedDivide.Call(ctx, client, "", *args)
				return err
			}),
		compare(byBytes, "Bytes", m, reply, func(ctx context.Context) error { return echo.Bytes(ctx, m, reply) },
			func(ctx context.Context) (err error) { *reply, err = typedBytes.Call(ctx, client, "", m); return err }),
	}
	return cells, func() {
		cancel()
		_ = client.Close()
		_ = server.Close()
	}, nil
}
