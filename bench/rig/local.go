package rig

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// localGroup is calls that stay in the process: by name and typed, with a context
// that cannot be cancelled and with one that can.
func localGroup() group {
	const (
		multiply = "local, pointer to a struct"
		sixty4   = "local, 64 B"
	)
	name := func(what, how string, cancellable bool) string {
		if cancellable {
			how += ", cancellable"
		}
		return what + ", " + how
	}
	var g group
	for _, what := range []string{multiply, sixty4} {
		for _, how := range []string{"by name", "typed"} {
			g.names = append(g.names, name(what, how, false), name(what, how, true))
		}
	}
	g.open = func(ctx context.Context) ([]cell, func(), error) {
		server, err := serve(nil)
		if err != nil {
			return nil, nil, err
		}
		client := rpc.NewClientWithServer(nil, protocol, server)
		cancellable, cancel := context.WithCancel(ctx)
		var cells []cell
		add := func(what, how string, call func(context.Context) error) {
			for _, can := range []bool{false, true} {
				callCtx := context.Background()
				if can {
					callCtx = cancellable
				}
				op := func(context.Context) error { return call(callCtx) }
				cells = append(cells, cell{name: name(what, how, can), run: Repeat(op)})
			}
		}
		args, product := &Args{6, 7}, new(int)
		in, out := payload(64), new([]byte)
		add(multiply, "by name", func(ctx context.Context) error {
			err := client.CallContext(ctx, "", "Echo", "Multiply", args, product)
			return isProduct(*product, err)
		})
		add(multiply, "typed", func(ctx context.Context) error {
			return isProduct(multiplyTyped(ctx, client, "", args))
		})
		add(sixty4, "by name", func(ctx context.Context) error {
			if err := client.CallContext(ctx, "", "Echo", "Bytes", in, out); err != nil {
				return err
			}
			return alike(*out, in)
		})
		add(sixty4, "typed", func(ctx context.Context) error {
			got, err := bytesTyped(ctx, client, "", in)
			if err != nil {
				return err
			}
			return alike(got, in)
		})
		return cells, func() {
			cancel()
			closing([]*rpc.Client{client}, server)
		}, nil
	}
	return g
}

func isProduct(product int, err error) error {
	if err == nil && product != 42 {
		err = fmt.Errorf("a wrong product, %d", product)
	}
	return err
}
