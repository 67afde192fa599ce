package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// fan is a host connected to many that serve, all in this process, over
// loopback TCP.
type fan struct {
	hub   host.Host
	hosts []host.Host
	peers []peer.ID
	done  []func()
}

func newFan(ctx context.Context, n int, serve ...func(host.Host) (func(), error)) (*fan, error) {
	hosts, err := rig.NewHosts(1 + n)
	if err != nil {
		return nil, err
	}
	f := &fan{hub: hosts[0], hosts: hosts}
	for _, h := range hosts[1:] {
		f.peers = append(f.peers, h.ID())
		for _, s := range serve {
			done, err := s(h)
			if err != nil {
				f.close()
				return nil, err
			}
			f.done = append(f.done, done)
		}
	}
	if err := rig.Each(n, func(i int) error { return rig.Connect(ctx, f.hub, hosts[1+i]) }); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fan) close() {
	for _, done := range f.done {
		done()
	}
	rig.CloseHosts(f.hosts)
}

// multi is a MultiCall that is made again and again.
type multi struct {
	client  *rpc.Client
	peers   []peer.ID
	ctxs    []context.Context
	outs    [][]byte
	replies []any
}

func newMulti(ctx context.Context, client *rpc.Client, peers []peer.ID) *multi {
	m := &multi{client: client, peers: peers, outs: make([][]byte, len(peers))}
	for i := range peers {
		m.ctxs, m.replies = append(m.ctxs, ctx), append(m.replies, &m.outs[i])
	}
	return m
}

// call calls all, and sees that all reply with want.
func (m *multi) call(arg, want []byte) error {
	clear(m.outs)
	errs := m.client.MultiCall(m.ctxs, m.peers, "Echo", "Bytes", arg, m.replies)
	if failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil }); len(failed) > 0 {
		return fmt.Errorf("%d of %d calls: %w", len(failed), len(m.peers), failed[0])
	}
	for i := range m.outs {
		if !bytes.Equal(m.outs[i], want) {
			return fmt.Errorf("destination %d: a wrong reply of %d bytes", i, len(m.outs[i]))
		}
	}
	return nil
}

const (
	fanOutTCP     = "Fan-out over TCP"
	multiSession  = "MultiCall, session"
	multiWire     = "MultiCall, wire"
	eachGoroutine = ", a goroutine each"
)

func (b *bench) fanOutCells(ctx context.Context, name string) error {
	cfg := b.config
	return b.group(ctx, group{name, "64 B to every destination; an operation is the whole of it. Ratios are of the first row's time.",
		func(ctx context.Context) ([]cell, func(), error) { return fanOut(ctx, cfg) }})
}

// fanOut compares MultiCall with a goroutine and a call a destination.
func fanOut(ctx context.Context, cfg config) ([]cell, func(), error) {
	most := 0
	for _, n := range cfg.fanOut {
		most = max(most, n)
	}
	f, err := newFan(ctx, most, serveRPC, serveGRPC, serveDRPC, serveNetRPC)
	if err != nil {
		return nil, nil, err
	}
	session := rpc.NewClient(f.hub, protocol)
	wire := rpc.NewClient(f.hub, protocol, rpc.WithClientSessions(false))
	others := make([][]system, len(theirs)) // by kind, one for each peer
	done := func() {
		_ = session.Close()
		_ = wire.Close()
		for _, s := range slices.Concat(others...) {
			s.close()
		}
		f.close()
	}
	for i, open := range theirs {
		for _, p := range f.peers {
			s, err := open(ctx, f.hub, p)
			if err != nil {
				done()
				return nil, nil, err
			}
			others[i] = append(others[i], s)
		}
	}
	m := newMessage(64)
	var cells []cell
	for _, n := range cfg.fanOut {
		c := cell{name: fmt.Sprintf("to %d", n)}
		add := func(name string, once func() error) {
			c.contestants = append(c.contestants, contestant{name: name, run: func(_ context.Context, n int) error {
				for range n {
					if err := once(); err != nil {
						return err
					}
				}
				return nil
			}})
		}
		overSession, overWire := newMulti(ctx, session, f.peers[:n]), newMulti(ctx, wire, f.peers[:n])
		add(multiSession, func() error { return overSession.call(m.body(), m.body()) })
		add(multiWire, func() error { return overWire.call(m.body(), m.body()) })
		for _, of := range others {
			add(of[0].name+eachGoroutine, func() error { return callEach(ctx, of[:n], m) })
		}
		cells = append(cells, c)
	}
	return cells, done, nil
}

// callEach calls all at once, each in a goroutine.
func callEach(ctx context.Context, conns []system, m message) error {
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			errs[i] = conns[i].echo(ctx, m, func(reply []byte) error {
				if !bytes.Equal(reply, m.body()) {
					return fmt.Errorf("a wrong reply of %d bytes", len(reply))
				}
				return nil
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
