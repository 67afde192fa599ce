package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

const (
	unaryTCP     = "Unary calls over TCP"
	unaryQUIC    = "Unary calls over QUIC"
	apartTCP     = "Unary calls of another process over TCP"
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
		{apartTCP, "The peer is another process, and allocations and bytes are the caller's alone. Ratios are of the floor's time.", unaryApart([]int{1, cfg.callers})},
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
		return unary(ctx, together(addr), callers, sizes, [][]openSystem{floors, ours, theirs})
	}
}

// unaryApart is unary calls of a peer in another process.
func unaryApart(callers []int) func(ctx context.Context) ([]cell, func(), error) {
	return func(ctx context.Context) ([]cell, func(), error) {
		return unary(ctx, withChild, callers, []int{64, 4 << 10}, [][]openSystem{{newTagged}, {newSession}, theirs})
	}
}

// site is a host, and a peer that it is connected with.
type site struct {
	from  host.Host
	to    peer.ID
	close func()
}

// together is a site in this process. The peer serves all, and more.
func together(addr string, more ...serve) func(ctx context.Context) (site, error) {
	return func(ctx context.Context) (site, error) {
		p, err := newPair(ctx, addr, more...)
		if err != nil {
			return site{}, err
		}
		return site{p.a, p.b.ID(), p.close}, nil
	}
}

// withChild is a site over TCP whose peer is another process.
func withChild(ctx context.Context) (site, error) {
	from, err := rig.NewHost(rig.OverTCP)
	if err != nil {
		return site{}, err
	}
	peers, stop, err := startChild(ctx, 1)
	if err != nil {
		return site{}, errors.Join(err, from.Close())
	}
	s := site{from, peers[0].ID, func() {
		_ = from.Close()
		stop()
	}}
	if err := from.Connect(ctx, peers[0]); err != nil {
		s.close()
		return site{}, err
	}
	return s, nil
}

// unary compares calls by some systems on one connection.
func unary(ctx context.Context, open func(context.Context) (site, error), callers, sizes []int, systems [][]openSystem) ([]cell, func(), error) {
	at, err := open(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, done, err := newSystems(ctx, at.from, at.to, systems...)
	if err != nil {
		at.close()
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
		at.close()
	}, nil
}
