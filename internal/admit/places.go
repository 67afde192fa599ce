// Package admit says which calls a server takes: how many at once, of one peer and
// of all together, and how many in a time. It also knows the calls that were taken.
package admit

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Places are places for calls, of which each peer may have as many as another. Its
// methods are safe for concurrent use.
type Places struct {
	most int
	mu   sync.Mutex
	of   map[peer.ID]int
}

// NewPlaces returns places of which a peer may have most.
func NewPlaces(most int) *Places { return &Places{most: most, of: make(map[peer.ID]int)} }

// Most is how many places a peer may have.
func (p *Places) Most() int { return p.most }

// Take takes a place of a peer's, if one is left.
func (p *Places) Take(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[id] >= p.most {
		return false
	}
	p.of[id]++
	return true
}

// Free gives a place back.
func (p *Places) Free(id peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[id]--; p.of[id] == 0 {
		delete(p.of, id)
	}
}
