package main

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

const streamingRecords = "Streaming of structs over TCP"

// records compares the ways in which this library streams items that go through
// the codec, and through channels by reflection.
func records(ctx context.Context) ([]cell, func(), error) {
	p, err := newPair(ctx, rig.OverTCP)
	if err != nil {
		return nil, nil, err
	}
	client, buffered := rpc.NewClient(p.a, protocol), rpc.NewClient(p.a, bufferedProto)
	item := Record{ID: 1 << 40, Name: "an item", Data: newMessage(32).body()}
	check := func(reply Record) error {
		if reply.ID != item.ID || reply.Name != item.Name || len(reply.Data) != len(item.Data) {
			return fmt.Errorf("a wrong item: %+v", reply)
		}
		return nil
	}
	c := cell{name: "a struct of 3 fields"}
	add := func(name string, run func(ctx context.Context, n int) error) {
		c.contestants = append(c.contestants, contestant{name: name, run: run})
	}
	add(itemOurs, func(ctx context.Context, n int) error {
		return rig.StreamItems(ctx, client, p.b.ID(), "Records", item, 0, n, check)
	})
	add(itemBuffered, func(ctx context.Context, n int) error {
		return rig.StreamItems(ctx, buffered, p.b.ID(), "Records", item, 64, n, check)
	})
	add(itemTyped, func(ctx context.Context, n int) error {
		return rig.TypedItems(ctx, client, p.b.ID(), typedRecords, item, n, check)
	})
	return []cell{c}, func() {
		_ = client.Close()
		_ = buffered.Close()
		p.close()
	}, nil
}
