package rig

import (
	"context"
	"fmt"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// localCalls are the kinds of calls that stay in the process.
func localCalls(client *rpc.Client) []localCall {
	args, product := &Args{6, 7}, new(int)
	in, out := payload(64), new([]byte)
	return []localCall{
		{"local, pointer to a struct, by name", func(ctx context.Context) error {
			err := client.CallContext(ctx, "", "Echo", "Multiply", args, product)
			return isProduct(*product, err)
		}},
		{"local, pointer to a struct, typed", func(ctx context.Context) error {
			return isProduct(multiplyTyped(ctx, client, "", args))
		}},
		{"local, 64 B, by name", func(ctx context.Context) error {
			if err := client.CallContext(ctx, "", "Echo", "Bytes", in, out); err != nil {
				return err
			}
			return alike(*out, in)
		}},
		{"local, 64 B, typed", func(ctx context.Context) error {
			got, err := bytesTyped(ctx, client, "", in)
			if err != nil {
				return err
			}
			return alike(got, in)
		}},
	}
}

type localCall struct {
	name string
	call func(context.Context) error
}

func isProduct(product int, err error) error {
	if err == nil && product != 42 {
		err = fmt.Errorf("a wrong product, %d", product)
	}
	return err
}

// cancellable is the name of a call with a context that can be cancelled.
func cancellable(name string) string { return name + ", cancellable" }

// heeded is the name of a call, with a deadline, of a method that heeds it.
func heeded(name string) string { return name + ", with a deadline, heeding" }

// localGroup is local calls, with a context that cannot be cancelled, with one
// that can, and with a deadline of methods that heed it.
func localGroup() group {
	var names []string
	for _, c := range localCalls(nil) {
		names = append(names, c.name, cancellable(c.name), heeded(c.name))
	}
	return group{names: names, open: func(ctx context.Context) ([]cell, func(), error) {
		server, err := serve(nil)
		if err != nil {
			return nil, nil, err
		}
		heeds, err := serve(nil, heeding()...)
		if err != nil {
			closing(nil, server)
			return nil, nil, err
		}
		client, heeding := rpc.NewClientWithServer(nil, protocol, server), rpc.NewClientWithServer(nil, protocol, heeds)
		ctx, cancel := context.WithCancel(ctx)
		late, done := context.WithTimeout(ctx, time.Hour)
		var cells []cell
		for i, c := range localCalls(client) {
			h := localCalls(heeding)[i]
			cells = append(cells,
				cell{name: c.name, run: Repeat(func(context.Context) error { return c.call(context.Background()) })},
				cell{name: cancellable(c.name), run: Repeat(func(context.Context) error { return c.call(ctx) })},
				cell{name: heeded(c.name), run: Repeat(func(context.Context) error { return h.call(late) })})
		}
		return cells, func() {
			done()
			cancel()
			closing([]*rpc.Client{client, heeding}, server, heeds)
		}, nil
	}}
}
