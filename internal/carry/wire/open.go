package wire

import (
	"maps"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// openConns are the streams of a client's calls under way.
type openConns struct {
	mu     sync.Mutex
	conns  map[*clientConn]struct{}
	closed bool
}

// add reports false when the client is closed.
func (o *openConns) add(conn *clientConn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	if o.conns == nil {
		o.conns = make(map[*clientConn]struct{})
	}
	o.conns[conn] = struct{}{}
	return true
}

func (o *openConns) remove(conn *clientConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, conn)
}

// close ends all of them, and any later one.
func (o *openConns) close() {
	o.mu.Lock()
	o.closed = true
	all := o.conns
	o.conns = nil
	o.mu.Unlock()
	for conn := range all {
		conn.fail(call.Closed())
	}
}

func (o *openConns) all() []*clientConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.conns))
}
