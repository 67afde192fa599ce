package main

import (
	"context"
	"fmt"
	"sync"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func groups(cfg config) []group {
	return []group{
		{"Local calls", local},
		{"Unary calls over TCP", func(ctx context.Context) ([]cell, func(), error) {
			return unary(ctx, cfg, "/ip4/127.0.0.1/tcp/0")
		}},
		{"Unary calls over QUIC", func(ctx context.Context) ([]cell, func(), error) {
			return unary(ctx, cfg, "/ip4/127.0.0.1/udp/0/quic-v1")
		}},
		{"Streaming over TCP", func(ctx context.Context) ([]cell, func(), error) {
			return streaming(ctx, "/ip4/127.0.0.1/tcp/0")
		}},
	}
}

// caller is what a local call saves: a call through an interface, which the
// compiler cannot see through.
type caller interface {
	Multiply(context.Context, *Args, *int) error
	Divide(context.Context, Args, *int) error
}

func local(ctx context.Context) ([]cell, func(), error) {
	server := rpc.NewServer(nil, protocol)
	if err := server.Register(Echo{}); err != nil {
		return nil, nil, err
	}
	client := rpc.NewClientWithServer(nil, protocol, server)
	cancellable, cancel := context.WithCancel(ctx)
	var echo caller = Echo{}
	args, reply := &Args{6, 7}, new(int)
	call := func(ctx context.Context, method string, args any) func(context.Context, int) error {
		return func(_ context.Context, n int) error {
			for range n {
				if err := client.CallContext(ctx, "", "Echo", method, args, reply); err != nil {
					return err
				}
			}
			return nil
		}
	}
	cells := []cell{
		{"argument by pointer", 0, []contestant{
			{"the method itself", func(ctx context.Context, n int) error {
				for range n {
					if err := echo.Multiply(ctx, args, reply); err != nil {
						return err
					}
				}
				return nil
			}},
			{"Call", call(context.Background(), "Multiply", args)},
			{"CallContext, cancellable", call(cancellable, "Multiply", args)},
		}},
		{"argument by value", 0, []contestant{
			{"the method itself", func(ctx context.Context, n int) error {
				for range n {
					if err := echo.Divide(ctx, *args, reply); err != nil {
						return err
					}
				}
				return nil
			}},
			{"Call", call(context.Background(), "Divide", *args)},
			{"CallContext, cancellable", call(cancellable, "Divide", *args)},
		}},
	}
	return cells, func() {
		cancel()
		_ = client.Close()
		_ = server.Close()
	}, nil
}

// unary compares calls with opening a stream and echoing as many raw bytes.
func unary(ctx context.Context, cfg config, addr string) ([]cell, func(), error) {
	p, err := newPair(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	var cells []cell
	for _, callers := range []int{1, cfg.callers} {
		for _, size := range []int{64, 4 << 10, 256 << 10} {
			msg, payload := message(size), make([]byte, size)
			cells = append(cells, cell{
				fmt.Sprintf("%s, %s", bytesText(size), callersText(callers)), size, []contestant{
					{"stream of raw bytes", parallel(callers, func(ctx context.Context) error { return p.echoRaw(ctx, msg) })},
					{"Call", parallel(callers, func(ctx context.Context) error {
						var out []byte
						err := p.client.CallContext(ctx, p.b.ID(), "Echo", "Bytes", payload, &out)
						if err == nil && len(out) != size {
							err = fmt.Errorf("%d bytes came back, not %d", len(out), size)
						}
						return err
					})},
				},
			})
		}
	}
	return cells, p.close, nil
}

// parallel shares n operations among callers.
func parallel(callers int, op func(context.Context) error) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		var wg sync.WaitGroup
		errs := make(chan error, callers)
		for c := range callers {
			wg.Go(func() {
				for i := c; i < n; i += callers {
					if err := op(ctx); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	}
}

func bytesText(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}
