package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// idleResult is of a peer.
type idleResult struct {
	system         string
	client, server usage
}

// opener makes one call to each peer, and leaves open what that opened until
// it is closed.
type opener func(ctx context.Context, from host.Host, peers []peer.ID) (close func(), err error)

// openClient is one client for all peers, as a program has it.
func openClient(ctx context.Context, from host.Host, peers []peer.ID) (func(), error) {
	client := rpc.NewClient(from, protocol)
	m := newMessage(64)
	for _, p := range peers {
		var out []byte
		if err := client.CallContext(ctx, p, "Echo", "Bytes", m.body(), &out); err != nil {
			_ = client.Close()
			return nil, err
		}
	}
	return func() { _ = client.Close() }, nil
}

// openEach is a connection of its own for each peer.
func openEach(one openSystem) opener {
	return func(ctx context.Context, from host.Host, peers []peer.ID) (func(), error) {
		var all []system
		done := func() {
			for _, s := range all {
				s.close()
			}
		}
		for _, p := range peers {
			s, err := one(ctx, from, p)
			if err == nil {
				all = append(all, s)
				err = s.echo(ctx, newMessage(64), func([]byte) error { return nil })
			}
			if err != nil {
				done()
				return nil, err
			}
		}
		return done, nil
	}
}

type idleSystem struct {
	name string
	open opener
}

// idleSessions measures what is open between calls, with the servers in another
// process, which tells what it holds.
func (b *bench) idleSessions(ctx context.Context, name string) error {
	systems := []idleSystem{
		{nameSession, openClient},
		{nameGRPC, openEach(newGRPC)},
		{nameDRPC, openEach(newDRPC)},
		{nameNetRPC, openEach(newNetRPC)},
	}
	hosts, err := rig.NewHosts(1)
	if err != nil {
		return err
	}
	defer rig.CloseHosts(hosts)
	infos, stop, err := startChild(ctx, b.idle)
	if err != nil {
		return err
	}
	defer stop()
	peers := make([]peer.ID, len(infos))
	if err := rig.Each(len(infos), func(i int) error {
		peers[i] = infos[i].ID
		return hosts[0].Connect(ctx, infos[i])
	}); err != nil {
		return err
	}
	control, err := newNetRPC(ctx, hosts[0], peers[0])
	if err != nil {
		return err
	}
	defer control.close()
	results, err := idles(ctx, systems, hosts[0], peers, control)
	if err != nil {
		return err
	}
	b.table(name, fmt.Sprintf("%d peers, which are in another process, after one call to each: what either side holds for a peer, "+
		"against the same hosts when that is closed; medians of three.", b.idle),
		"", "", "heap", "stacks", "goroutines")
	for _, r := range results {
		b.row(append([]string{r.system, "client"}, r.client.texts()...)...)
		b.row(append([]string{r.system, "server"}, r.server.texts()...)...)
	}
	b.idles = results
	return nil
}

// idles lets the systems take turns, and returns medians.
func idles(ctx context.Context, systems []idleSystem, from host.Host, peers []peer.ID, control system) ([]idleResult, error) {
	const rounds = 3
	client, server := make([][]usage, len(systems)), make([][]usage, len(systems))
	for round := range rounds {
		for _, i := range order(round, len(systems)) {
			r, err := idle(ctx, systems[i], from, peers, control)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", systems[i].name, err)
			}
			client[i], server[i] = append(client[i], r.client), append(server[i], r.server)
		}
	}
	results := make([]idleResult, len(systems))
	for i, s := range systems {
		results[i] = idleResult{s.name, medianUsage(client[i]), medianUsage(server[i])}
	}
	return results, nil
}

func medianUsage(us []usage) usage {
	return usage{
		heap:       median(us, func(u usage) float64 { return u.heap }),
		stacks:     median(us, func(u usage) float64 { return u.stacks }),
		goroutines: median(us, func(u usage) float64 { return u.goroutines }),
	}
}

func (u usage) texts() []string {
	return []string{fmt.Sprintf("%.0f", u.heap), fmt.Sprintf("%.0f", u.stacks), fmt.Sprintf("%.2f", u.goroutines)}
}

// idle is what is held for each peer.
func idle(ctx context.Context, s idleSystem, from host.Host, peers []peer.ID, control system) (r idleResult, err error) {
	done, err := s.open(ctx, from, peers) // for what stays, once it was there: libp2p's notes of protocols
	if err != nil {
		return r, err
	}
	done()
	_ = settled()
	if done, err = s.open(ctx, from, peers); err != nil {
		return r, err
	}
	client := settled()
	server, err := usageOf(ctx, control)
	done()
	if err != nil {
		return r, err
	}
	client = client.since(settled())
	closed, err := usageOf(ctx, control)
	n := float64(len(peers))
	return idleResult{s.name, client.per(n), server.since(closed).per(n)}, err
}

func (u usage) per(n float64) usage { return usage{u.heap / n, u.stacks / n, u.goroutines / n} }
