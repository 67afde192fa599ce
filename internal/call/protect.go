package call

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Protector keeps a host's connection manager from closing the connections of peers
// that a client is calling. Its methods are safe for concurrent use. A nil one does
// nothing.
type Protector struct {
	manager connmgr.ConnManager
	tag     string // the client's own: another may let go of the same peer

	mu    sync.Mutex
	holds map[peer.ID]int
}

var protectors atomic.Uint64

// NewProtector returns a protector of one client.
func NewProtector(m connmgr.ConnManager) *Protector {
	if m == nil { // of a host of somebody's own making
		return nil
	}
	return &Protector{manager: m, tag: fmt.Sprintf("%s-%d", ServiceName, protectors.Add(1)), holds: make(map[peer.ID]int)}
}

// Protect holds on to p, or lets it go that was held; the two need not come in order.
func (c *Protector) Protect(p peer.ID, on bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.holds[p]
	after := before - 1
	if on {
		after = before + 1
	}
	if c.holds[p] = after; after == 0 {
		delete(c.holds, p)
	}
	switch {
	case before == 0 && on:
		c.manager.Protect(p, c.tag)
	case after == 0 && !on:
		c.manager.Unprotect(p, c.tag)
	}
}
