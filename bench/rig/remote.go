package rig

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// site is a server at one host and clients at another: one that uses a session,
// and one that opens a stream for each call.
type site struct {
	to            peer.ID
	session, wire *rpc.Client
	close         func()
}

func newSite(ctx context.Context, addr string) (*site, error) {
	var server *rpc.Server
	a, b, err := NewPair(ctx, addr, func(h host.Host) (err error) {
		server, err = serve(h)
		return err
	})
	if err != nil {
		if server != nil {
			closing(nil, server)
		}
		return nil, err
	}
	r := &site{to: b.ID(), session: rpc.NewClient(a, protocol), wire: rpc.NewClient(a, protocol, onlyWire())}
	r.close = func() {
		closing([]*rpc.Client{r.session, r.wire}, server)
		CloseHosts([]host.Host{a, b})
	}
	return r, nil
}

// remoteGroup has cells that share a site.
func remoteGroup(addr string, names []string, cells func(r *site) []cell) group {
	return group{names: names, open: func(ctx context.Context) ([]cell, func(), error) {
		r, err := newSite(ctx, addr)
		if err != nil {
			return nil, nil, err
		}
		return cells(r), r.close, nil
	}}
}

// unaryGroup is calls by name, of three sizes and by as many callers at once.
func unaryGroup(over, addr string) group {
	type kind struct {
		size, callers int
		wire          bool
	}
	var kinds []kind
	var names []string
	for _, size := range []int{64, 4 << 10, 256 << 10} {
		for _, callers := range []int{1, 16, 64} {
			for _, by := range []string{"session", "wire"} {
				kinds = append(kinds, kind{size, callers, by == "wire"})
				names = append(names, fmt.Sprintf("%s, unary, %s, %s, callers: %d", over, by, sizeName(size), callers))
			}
		}
	}
	return remoteGroup(addr, names, func(r *site) []cell {
		var cells []cell
		for i, k := range kinds {
			client, in := r.session, payload(k.size)
			if k.wire {
				client = r.wire
			}
			call := func(check func(got, want []byte) error) func(context.Context) error {
				return func(ctx context.Context) error {
					var out []byte
					if err := client.CallContext(ctx, r.to, "Echo", "Bytes", in, &out); err != nil {
						return err
					}
					return check(out, in)
				}
			}
			cells = append(cells, cell{names[i], Parallel(k.callers, call(alike)), call(same)})
		}
		return cells
	})
}

// streamGroup is items that are echoed in one call.
func streamGroup(over, addr string) group {
	sizes := []int{64, 64 << 10}
	var names []string
	for _, size := range sizes {
		names = append(names, over+", stream, channels, items of "+sizeName(size), over+", stream, typed, items of "+sizeName(size))
	}
	names = append(names, over+", stream, channels, structs", over+", stream, typed, structs")
	return remoteGroup(addr, names, func(r *site) []cell {
		var cells []cell
		add := func(run, verify Op) {
			c := cell{name: names[len(cells)], run: run}
			if verify != nil {
				c.verify = func(ctx context.Context) error { return verify(ctx, 3) }
			}
			cells = append(cells, c)
		}
		for _, size := range sizes {
			item := payload(size)
			channels := func(check func(got, want []byte) error) Op {
				return func(ctx context.Context, n int) error {
					return StreamItems(ctx, r.session, r.to, "Stream", item, 0, n, func(got []byte) error { return check(got, item) })
				}
			}
			typed := func(check func(got, want []byte) error) Op {
				return func(ctx context.Context, n int) error {
					return TypedItems(ctx, r.session, r.to, typedStream, item, n, func(got []byte) error { return check(got, item) })
				}
			}
			add(channels(alike), channels(same))
			add(typed(alike), typed(same))
		}
		record := Record{ID: 1 << 40, Name: "an item", Data: payload(32)}
		check := func(got Record) error {
			if got.ID != record.ID || got.Name != record.Name {
				return fmt.Errorf("a wrong item: %+v", got)
			}
			return alike(got.Data, record.Data)
		}
		add(func(ctx context.Context, n int) error {
			return StreamItems(ctx, r.session, r.to, "Records", record, 0, n, check)
		}, nil)
		add(func(ctx context.Context, n int) error {
			return TypedItems(ctx, r.session, r.to, typedRecords, record, n, check)
		}, nil)
		return cells
	})
}

// listGroup is whole calls of which few items come.
func listGroup(over, addr string) group {
	type kind struct{ items, callers int }
	var kinds []kind
	var names []string
	for _, items := range []int{1, 10, 100} {
		for _, callers := range []int{1, 64} {
			kinds = append(kinds, kind{items, callers})
			names = append(names, fmt.Sprintf("%s, server stream, items: %d, callers: %d", over, items, callers))
		}
	}
	return remoteGroup(addr, names, func(r *site) []cell {
		var cells []cell
		want := payload(64)
		for i, k := range kinds {
			call := func(check func(got, want []byte) error) func(context.Context) error {
				return func(ctx context.Context) error {
					return listTyped(ctx, r.session, r.to, k.items, func(got []byte) error { return check(got, want) })
				}
			}
			cells = append(cells, cell{names[i], Parallel(k.callers, call(alike)), call(same)})
		}
		return cells
	})
}
