package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
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

// idleSessions measures what is open between calls: with the peers in another
// process, which leaves the client's side, and with the peers in this one.
func (b *bench) idleSessions(ctx context.Context, name string) error {
	systems := []idleSystem{
		{nameSession, openClient},
		{nameGRPC, openEach(newGRPC)},
		{nameDRPC, openEach(newDRPC)},
		{nameNetRPC, openEach(newNetRPC)},
	}
	var client, both []usage
	hosts, err := newHosts(1)
	if err != nil {
		return err
	}
	defer closeHosts(hosts)
	infos, stop, err := startChild(ctx, b.idle)
	if err != nil {
		return err
	}
	defer stop()
	peers := make([]peer.ID, len(infos))
	if err := each(len(infos), func(i int) error {
		peers[i] = infos[i].ID
		return hosts[0].Connect(ctx, infos[i])
	}); err != nil {
		return err
	}
	if client, err = idles(ctx, systems, hosts[0], peers); err != nil {
		return err
	}
	f, err := newFan(ctx, b.idle, serveRPC, serveGRPC, serveDRPC, serveNetRPC)
	if err != nil {
		return err
	}
	defer f.close()
	if both, err = idles(ctx, systems, f.hub, f.peers); err != nil {
		return err
	}
	b.table(name, fmt.Sprintf("%d peers, after one call to each: what is held for a peer, against the same hosts when that is closed. "+
		"The client's side was measured with the peers in another process; the server's is what both sides take in one, less that.", b.idle),
		"", "", "heap", "stacks", "goroutines")
	for i, s := range systems {
		r := idleResult{s.name, client[i], both[i].since(client[i])}
		b.row(append([]string{s.name, "client"}, r.client.texts()...)...)
		b.row(append([]string{s.name, "server"}, r.server.texts()...)...)
		b.idles = append(b.idles, r)
	}
	return nil
}

func (u usage) texts() []string {
	return []string{fmt.Sprintf("%.0f", u.heap), fmt.Sprintf("%.0f", u.stacks), fmt.Sprintf("%.2f", u.goroutines)}
}

type idleSystem struct {
	name string
	open opener
}

// idles lets the systems take turns, and returns medians.
func idles(ctx context.Context, systems []idleSystem, from host.Host, peers []peer.ID) ([]usage, error) {
	const rounds = 3 // what libp2p does in the background is in one or the other
	all := make([][]usage, len(systems))
	for round := range rounds {
		for _, i := range order(round, len(systems)) {
			u, err := idle(ctx, systems[i].open, from, peers)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", systems[i].name, err)
			}
			all[i] = append(all[i], u)
		}
	}
	medians := make([]usage, len(systems))
	for i, us := range all {
		medians[i] = usage{
			heap:       median(us, func(u usage) float64 { return u.heap }),
			stacks:     median(us, func(u usage) float64 { return u.stacks }),
			goroutines: median(us, func(u usage) float64 { return u.goroutines }),
		}
	}
	return medians, nil
}

// idle is what is held for each peer.
func idle(ctx context.Context, open opener, from host.Host, peers []peer.ID) (usage, error) {
	done, err := open(ctx, from, peers) // for what stays, once it was there: libp2p's notes of protocols
	if err != nil {
		return usage{}, err
	}
	done()
	_ = settled()
	if done, err = open(ctx, from, peers); err != nil {
		return usage{}, err
	}
	opened := settled()
	done()
	u := opened.since(settled())
	n := float64(len(peers))
	return usage{u.heap / n, u.stacks / n, u.goroutines / n}, nil
}
