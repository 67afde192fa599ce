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
	largeTCP     = "Large messages over TCP"
	largeQUIC    = "Large messages over QUIC"
	spansTCP     = "Unary calls with batches of structs over TCP"
)

func groups(cfg config) []group {
	return []group{
		{localCalls, "Ratios are of the first row's time.", local},
		{unaryTCP, aboutFloors, unaryOver(rig.OverTCP, []int{1, cfg.callers}, []int{64, 4 << 10, 256 << 10})},
		{unaryQUIC, aboutFloors, unaryOver(rig.OverQUIC, []int{1, cfg.callers}, []int{64, 4 << 10, 256 << 10})},
		{largeTCP, aboutFloors, unaryOver(rig.OverTCP, largeCallers, largeSizes)},
		{largeQUIC, aboutFloors, unaryOver(rig.OverQUIC, largeCallers, largeSizes)},
		{instrumentedTCP, aboutInstrumented, func(ctx context.Context) ([]cell, func(), error) { return instrumented(ctx, cfg.callers) }},
		{countingTCP, aboutCounting, counting},
		{spansTCP, "A struct has 9 fields, and 5 attributes of two strings. Ratios are of the first row's time.", spans},
		{streamingTCP, aboutFloors, streaming},
		{streamingRecords, "Ratios are of the first row's time.", records},
	}
}

// largeCallers and largeSizes are of calls with large messages.
var (
	largeCallers = []int{1, 8}
	largeSizes   = []int{1 << 20, 4 << 20, 8 << 20}
)

func unaryOver(addr string, callers, sizes []int) func(ctx context.Context) ([]cell, func(), error) {
	return func(ctx context.Context) ([]cell, func(), error) {
		return unary(ctx, addr, callers, sizes, [][]openSystem{floors, ours, theirs})
	}
}

// unary compares calls by some systems on one connection. The peer serves all, and more.
func unary(ctx context.Context, addr string, callers, sizes []int, systems [][]openSystem, more ...serve) ([]cell, func(), error) {
	p, err := newPair(ctx, addr, more...)
	if err != nil {
		return nil, nil, err
	}
	all, done, err := newSystems(ctx, p.a, p.b.ID(), systems...)
	if err != nil {
		p.close()
		return nil, nil, err
	}
	var cells []cell
	for _, n := range callers {
		for _, size := range sizes {
			c := cell{name: fmt.Sprintf("%s, %s", bytesText(size), callersText(n)), bytes: size}
			m := newMessage(size)
			for _, s := range all {
				c.contestants = append(c.contestants, s.contestant(n, m))
			}
			cells = append(cells, c)
		}
	}
	return cells, func() {
		done()
		p.close()
	}, nil
}
