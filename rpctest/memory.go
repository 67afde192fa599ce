package rpctest

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// memory is a libp2p transport between hosts of one process. Its connections
// are secured and multiplexed by libp2p as those of TCP are; only the socket is
// missing. Addresses are /memory/N; to listen on /memory/0 is to listen on one
// that is free.
type memory struct {
	upgrader transport.Upgrader
	rcmgr    network.ResourceManager
}

func newMemory(u transport.Upgrader, rcmgr network.ResourceManager) *memory {
	return &memory{u, rcmgr}
}

// memoryNetwork is who listens where, in the whole process: any host in memory
// can reach any other.
var memoryNetwork struct {
	sync.Mutex
	last      uint64
	listeners map[string]*memoryListener
}

const freeAddr = "/memory/0"

// nextMemoryAddr returns an address that nobody has had. The network must be
// locked.
func nextMemoryAddr() ma.Multiaddr {
	memoryNetwork.last++
	return ma.StringCast(fmt.Sprintf("/memory/%d", memoryNetwork.last))
}

func (t *memory) Dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID) (transport.CapableConn, error) {
	scope, err := t.rcmgr.OpenConnection(network.DirOutbound, false, raddr)
	if err != nil {
		return nil, err
	}
	conn, err := t.dial(ctx, raddr, p, scope)
	if err != nil {
		scope.Done()
		return nil, err
	}
	return t.upgrader.Upgrade(ctx, t, conn, network.DirOutbound, p, scope)
}

func (t *memory) dial(ctx context.Context, raddr ma.Multiaddr, p peer.ID, scope network.ConnManagementScope) (manet.Conn, error) {
	if err := scope.SetPeer(p); err != nil {
		return nil, err
	}
	memoryNetwork.Lock()
	l, laddr := memoryNetwork.listeners[raddr.String()], nextMemoryAddr()
	memoryNetwork.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens on %v", raddr)
	}
	here, there := pipe(laddr, raddr)
	select {
	case l.incoming <- there:
		return here, nil
	case <-l.closed:
		return nil, fmt.Errorf("nobody listens on %v any more", raddr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *memory) CanDial(addr ma.Multiaddr) bool {
	first, rest := ma.SplitFirst(addr)
	return first != nil && first.Protocol().Code == ma.P_MEMORY && len(rest) == 0
}

func (t *memory) Listen(laddr ma.Multiaddr) (transport.Listener, error) {
	memoryNetwork.Lock()
	defer memoryNetwork.Unlock()
	if laddr.String() == freeAddr {
		laddr = nextMemoryAddr()
	}
	if memoryNetwork.listeners[laddr.String()] != nil {
		return nil, fmt.Errorf("somebody listens on %v already", laddr)
	}
	l := &memoryListener{addr: laddr, incoming: make(chan *pipeConn), closed: make(chan struct{})}
	if memoryNetwork.listeners == nil {
		memoryNetwork.listeners = make(map[string]*memoryListener)
	}
	memoryNetwork.listeners[laddr.String()] = l
	return t.upgrader.UpgradeGatedMaListener(t, t.upgrader.GateMaListener(l)), nil
}

func (t *memory) Protocols() []int { return []int{ma.P_MEMORY} }
func (t *memory) Proxy() bool      { return false }
func (t *memory) String() string   { return "memory" }

// memoryListener takes the connections to one address.
type memoryListener struct {
	addr     ma.Multiaddr
	incoming chan *pipeConn
	closed   chan struct{}
	once     sync.Once
}

func (l *memoryListener) Accept() (manet.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		memoryNetwork.Lock()
		defer memoryNetwork.Unlock()
		delete(memoryNetwork.listeners, l.addr.String())
	})
	return nil
}

func (l *memoryListener) Multiaddr() ma.Multiaddr { return l.addr }
func (l *memoryListener) Addr() net.Addr          { return memoryAddr{l.addr} }

// memoryAddr is an address as package net has them.
type memoryAddr struct{ addr ma.Multiaddr }

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return a.addr.String() }
