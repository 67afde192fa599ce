package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const (
	overTCP  = "/ip4/127.0.0.1/tcp/0"
	overQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// newHost makes a host without limits: the cells with many callers want more
// streams, and those with many peers more connections, than libp2p allows by
// default.
func newHost(addr string, more ...libp2p.Option) (host.Host, error) {
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	if err != nil {
		return nil, err
	}
	return libp2p.New(append([]libp2p.Option{libp2p.ListenAddrStrings(addr), libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(connmgr.NullConnMgr{})}, more...)...)
}

// newHosts makes n hosts for TCP alone, without what only a node of a public
// network needs: up to a thousand of them are in this process.
func newHosts(n int) ([]host.Host, error) {
	hosts := make([]host.Host, n)
	err := each(n, func(i int) (err error) {
		hosts[i], err = newHost(overTCP, libp2p.Transport(tcp.NewTCPTransport), libp2p.DisableRelay(),
			libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
		return err
	})
	if err != nil {
		closeHosts(hosts)
		return nil, err
	}
	return hosts, nil
}

func closeHosts(hosts []host.Host) {
	_ = each(len(hosts), func(i int) error {
		if hosts[i] == nil {
			return nil
		}
		return hosts[i].Close()
	})
}

// each does n things, some at once.
func each(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	slots := make(chan struct{}, 16)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(i); err != nil {
				mu.Lock()
				first = errors.Join(first, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return first
}

func connect(ctx context.Context, from, to host.Host) error {
	return from.Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()})
}

// serving is what answers at one host: all systems and the floors.
type serving struct {
	closers []func()
}

// raised are limits that no cell meets.
var raised = rpc.Limits{CallsPerPeer: 1 << 20, Calls: 1 << 20}

func serveAll(h host.Host) (*serving, error) {
	s := &serving{}
	serveRaw(h)
	for _, serve := range []func(host.Host) (func(), error){serveRPC, serveGRPC, serveDRPC, serveNetRPC} {
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

// newPair connects two hosts over the given address. There is one connection
// between them, which everything that is compared shares.
func newPair(ctx context.Context, addr string) (*pair, error) {
	p := new(pair)
	var err error
	if p.a, err = newHost(addr); err != nil {
		return nil, err
	}
	if p.b, err = newHost(addr); err != nil {
		_ = p.a.Close()
		return nil, err
	}
	if p.serving, err = serveAll(p.b); err == nil {
		err = connect(ctx, p.a, p.b)
	}
	if n := len(p.a.Network().ConnsToPeer(p.b.ID())); err == nil && n != 1 {
		err = fmt.Errorf("%d connections, not 1", n)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pair) close() {
	if p.serving != nil {
		p.serving.close()
	}
	_ = p.a.Close()
	_ = p.b.Close()
}
