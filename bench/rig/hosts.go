package rig

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
)

// Addresses to listen on.
const (
	OverTCP  = "/ip4/127.0.0.1/tcp/0"
	OverQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

// NewHost makes a host without limits: the cells with many callers want more
// streams, and those with many peers more connections, than libp2p allows by
// default.
func NewHost(addr string, more ...libp2p.Option) (host.Host, error) {
	limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	if err != nil {
		return nil, err
	}
	return libp2p.New(append([]libp2p.Option{libp2p.ListenAddrStrings(addr), libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(connmgr.NullConnMgr{})}, more...)...)
}

// NewHosts makes n hosts for TCP alone, without what only a node of a public
// network needs: up to a thousand of them are in this process.
func NewHosts(n int) ([]host.Host, error) {
	hosts := make([]host.Host, n)
	err := Each(n, func(i int) (err error) {
		hosts[i], err = NewHost(OverTCP, libp2p.Transport(tcp.NewTCPTransport), libp2p.DisableRelay(),
			libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery())
		return err
	})
	if err != nil {
		CloseHosts(hosts)
		return nil, err
	}
	return hosts, nil
}

// CloseHosts closes those that are not nil.
func CloseHosts(hosts []host.Host) {
	_ = Each(len(hosts), func(i int) error {
		if hosts[i] == nil {
			return nil
		}
		return hosts[i].Close()
	})
}

// NewPair makes two hosts and connects them over the given address, once. The
// second is given to serve before.
func NewPair(ctx context.Context, addr string, serve func(host.Host) error) (a, b host.Host, err error) {
	hosts := make([]host.Host, 2)
	for i := range hosts {
		if hosts[i], err = NewHost(addr); err != nil {
			CloseHosts(hosts)
			return nil, nil, err
		}
	}
	a, b = hosts[0], hosts[1]
	if err = serve(b); err == nil {
		err = Connect(ctx, a, b)
	}
	if n := len(a.Network().ConnsToPeer(b.ID())); err == nil && n != 1 {
		err = fmt.Errorf("%d connections, not 1", n)
	}
	if err != nil {
		CloseHosts(hosts)
		return nil, nil, err
	}
	return a, b, nil
}

// Each does n things, some at once.
func Each(n int, do func(i int) error) error {
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

// Connect connects one host to another.
func Connect(ctx context.Context, from, to host.Host) error {
	return from.Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()})
}
