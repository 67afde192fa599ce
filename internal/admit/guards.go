package admit

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Guard sets who may call the methods of a service of a server, which is the root's. The
// root sets it.
var Guard func(server any, service string, may func(peer.ID) bool)

// Guards are rules of single services, beside what a server asks of all. The zero Guards
// have none; their methods are safe for concurrent use.
type Guards struct {
	mu  sync.Mutex
	now atomic.Pointer[map[string]func(peer.ID) bool] // is replaced, never changed
}

// Set sets who may call the methods of a service.
func (g *Guards) Set(service string, may func(peer.ID) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := make(map[string]func(peer.ID) bool)
	if now := g.now.Load(); now != nil {
		maps.Copy(next, *now)
	}
	next[service] = may
	g.now.Store(&next)
}

// Allow reports whether the rule of a service, if it has one, allows a peer.
func (g *Guards) Allow(p peer.ID, service string) bool {
	now := g.now.Load()
	if now == nil {
		return true
	}
	may := (*now)[service]
	return may == nil || may(p)
}
