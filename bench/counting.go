package main

import (
	"context"
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
)

const (
	countingTCP   = "Counting calls for State"
	aboutCounting = "What both sides of a remote call do for `State`, alone, beside such a call. Ratios are of the first row's time."
	nameCounting  = "counting, both sides"
)

// side counts calls as a client and a server do.
type side struct {
	tally    tally.Side
	underWay admit.Calls[*counted]
	peer     *tally.Peer
}

type counted struct {
	tally tally.Call
	entry admit.Entry[*counted]
}

func newSide(p *pair) *side {
	s := new(side)
	s.tally.Init()
	s.underWay.Init(math.MaxInt)
	s.peer = s.tally.Peers.Get(p.b.ID())
	return s
}

// count counts a call from its beginning to its end.
func (s *side) count(k *counted, p *pair, counts *tally.Counts) {
	s.tally.Begin(&k.tally, counts)
	k.entry.Call = k
	s.underWay.Enter(&k.entry, 0)
	k.tally.With(s.peer)
	k.tally.Takes(64)
	k.tally.Sends(64)
	s.underWay.Leave(&k.entry)
	s.tally.End(&k.tally, p.b.ID(), codes.OK)
}

// counting compares counting with a whole call.
func counting(ctx context.Context) ([]cell, func(), error) {
	p, err := newPair(ctx, rig.OverTCP)
	if err != nil {
		return nil, nil, err
	}
	session, err := newSession(ctx, p.a, p.b.ID())
	if err != nil {
		p.close()
		return nil, nil, err
	}
	client, server, id := newSide(p), newSide(p), tally.ID{Name: "Echo", Method: "Bytes"}
	var cached tally.Cached // as a server has it for each of its methods
	ofClient, ofServer := new(counted), new(counted)
	c := cell{name: "64 B, " + callersText(1), contestants: []contestant{
		session.contestant(1, newMessage(64)),
		{name: nameCounting, run: rig.Repeat(func(context.Context) error {
			client.count(ofClient, p, client.tally.Methods.Of(id))
			server.count(ofServer, p, cached.In(&server.tally.Methods, id))
			return nil
		})},
	}}
	return []cell{c}, func() {
		session.close()
		p.close()
	}, nil
}

func (b *bench) countingTargets(t *targets) {
	for _, c := range b.cells[countingTCP] {
		call, _ := c.of(nameSession)
		counting, _ := c.of(nameCounting)
		t.add("counting, "+c.name, "at most 2 % of a call, and no allocation",
			fmt.Sprintf("%.2f %% (%s of %s), %s", 100*counting.ns/call.ns, timeText(counting.ns), timeText(call.ns), allocations(counting.allocs)),
			counting.ns <= 0.02*call.ns && math.Round(counting.allocs) == 0)
	}
}
