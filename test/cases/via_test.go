package cases_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// What dead_connection_test.go and ping_connection_test.go have in common.

type stopped struct { // while somebody holds mu nothing comes
	net.Conn
	mu *sync.RWMutex
}

func (s stopped) Read(p []byte) (n int, err error) {
	n, err = s.Conn.Read(p)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return n, err
}

// via returns an address that leads to h until mu is held.
func via(t *testing.T, h host.Host, mu *sync.RWMutex) []ma.Multiaddr {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	t.Cleanup(func() { l.Close() })
	to, _ := manet.ToNetAddr(h.Addrs()[0])
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			d, _ := net.Dial("tcp", to.String())
			go io.Copy(d, stopped{c, mu})
			go io.Copy(c, stopped{d, mu})
		}
	}()
	addr, _ := manet.FromNetAddr(l.Addr())
	return []ma.Multiaddr{addr}
}
