package rig

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// fan is a host that is connected to many that serve.
type fan struct {
	hosts   []host.Host // the first calls
	servers []*rpc.Server
	peers   []peer.ID
}

func newFan(ctx context.Context, n int) (*fan, error) {
	hosts, err := NewHosts(1 + n)
	if err != nil {
		return nil, err
	}
	f := &fan{hosts: hosts}
	for _, h := range hosts[1:] {
		server, err := serve(h)
		if err != nil {
			f.close()
			return nil, err
		}
		f.servers, f.peers = append(f.servers, server), append(f.peers, h.ID())
	}
	if err := Each(n, func(i int) error { return Connect(ctx, hosts[0], hosts[1+i]) }); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fan) close() {
	closing(nil, f.servers...)
	CloseHosts(f.hosts)
}

// fanGroup is calls of many peers at once; an operation is the whole of it.
func fanGroup(n int) group {
	var names []string
	for _, how := range []string{"MultiCall, session", "MultiCall, wire", "typed, session"} {
		names = append(names, fmt.Sprintf("fan-out to %d, %s", n, how))
	}
	return group{names: names, open: func(ctx context.Context) ([]cell, func(), error) {
		f, err := newFan(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		session, wire := rpc.NewClient(f.hosts[0], protocol), rpc.NewClient(f.hosts[0], protocol, onlyWire())
		in := payload(64)
		typed := func(ctx context.Context) error {
			return bytesTypedAll(ctx, session, f.peers, in, func(got []byte) error { return same(got, in) })
		}
		cells := []cell{
			{name: names[0], run: multiCall(session, f.peers, in)},
			{name: names[1], run: multiCall(wire, f.peers, in)},
			{name: names[2], run: Repeat(typed)},
		}
		return cells, func() {
			closing([]*rpc.Client{session, wire})
			f.close()
		}, nil
	}}
}

// multiCall makes a MultiCall again and again, and looks at each reply.
func multiCall(client *rpc.Client, peers []peer.ID, in []byte) Op {
	ctxs, outs, replies := make([]context.Context, len(peers)), make([][]byte, len(peers)), make([]any, len(peers))
	for i := range peers {
		replies[i] = &outs[i]
	}
	return func(ctx context.Context, n int) error {
		for i := range ctxs {
			ctxs[i] = ctx
		}
		for range n {
			clear(outs)
			for i, err := range client.MultiCall(ctxs, peers, "Echo", "Bytes", in, replies) {
				if err == nil {
					err = same(outs[i], in)
				}
				if err != nil {
					return fmt.Errorf("destination %d: %w", i, err)
				}
			}
		}
		return nil
	}
}
