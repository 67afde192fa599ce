package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

const (
	unaryTCP     = "Unary calls over TCP"
	unaryQUIC    = "Unary calls over QUIC"
	streamingTCP = "Streaming over TCP"
	spansTCP     = "Unary calls with batches of structs over TCP"
)

func groups(cfg config) []group {
	return []group{
		{localCalls, "Ratios are of the first row's time.", local},
		{unaryTCP, aboutFloors, func(ctx context.Context) ([]cell, func(), error) { return unary(ctx, cfg, rig.OverTCP) }},
		{unaryQUIC, aboutFloors, func(ctx context.Context) ([]cell, func(), error) { return unary(ctx, cfg, rig.OverQUIC) }},
		{spansTCP, "A struct has 9 fields, and 5 attributes of two strings. Ratios are of the first row's time.", spans},
		{streamingTCP, aboutFloors, streaming},
		{streamingRecords, "Ratios are of the first row's time.", records},
	}
}

// unary compares calls by all systems on one connection.
func unary(ctx context.Context, cfg config, addr string) ([]cell, func(), error) {
	p, err := newPair(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	all, done, err := newSystems(ctx, p.a, p.b.ID(), floors, ours, theirs)
	if err != nil {
		p.close()
		return nil, nil, err
	}
	var cells []cell
	for _, callers := range []int{1, cfg.callers} {
		for _, size := range []int{64, 4 << 10, 256 << 10} {
			c := cell{name: fmt.Sprintf("%s, %s", bytesText(size), callersText(callers)), bytes: size}
			m := newMessage(size)
			for _, s := range all {
				c.contestants = append(c.contestants, s.contestant(callers, m))
			}
			cells = append(cells, c)
		}
	}
	return cells, func() {
		done()
		p.close()
	}, nil
}
