package main

import (
	"context"

	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// serving is what answers at one host: all systems and the floors.
type serving struct {
	closers []func()
}

// raised are limits that no cell meets.
var raised = rpc.Limits{CallsPerPeer: 1 << 20, Calls: 1 << 20}

// serve answers calls by one system at a host, until what it returns is called.
type serve = func(host.Host) (func(), error)

func serveAll(h host.Host, more ...serve) (*serving, error) {
	s := &serving{}
	serveRaw(h)
	for _, serve := range append([]serve{serveRPC, serveGRPC, serveSpansGRPC, serveDRPC, serveNetRPC}, more...) {
		done, err := serve(h)
		if err != nil {
			s.close()
			return nil, err
		}
		s.closers = append(s.closers, done)
	}
	return s, nil
}

func (s *serving) close() {
	for _, done := range s.closers {
		done()
	}
}

// pair is two connected hosts, of which the second serves.
type pair struct {
	a, b    host.Host
	serving *serving
}

// newPair connects two hosts over the given address, the second of which serves more,
// too. There is one connection
// between them, which everything that is compared shares.
func newPair(ctx context.Context, addr string, more ...serve) (*pair, error) {
	p := new(pair)
	var err error
	p.a, p.b, err = rig.NewPair(ctx, addr, func(h host.Host) (err error) {
		p.serving, err = serveAll(h, more...)
		return err
	})
	if err != nil {
		if p.serving != nil {
			p.serving.close()
		}
		return nil, err
	}
	return p, nil
}

func (p *pair) close() {
	p.serving.close()
	_ = p.a.Close()
	_ = p.b.Close()
}
