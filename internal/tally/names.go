package tally

import (
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/state"
)

// ID names a method.
type ID struct{ Name, Method string }

// Methods are the methods that are counted, up to a number. The zero Methods are ready.
type Methods struct {
	other  Counts
	now    atomic.Pointer[map[ID]*Counts] // is replaced, never changed
	adding sync.Mutex
}

// Of returns the counts of a method that the program knows: a stranger's words are
// Other.
func (m *Methods) Of(id ID) *Counts {
	if now := m.now.Load(); now != nil {
		if c := (*now)[id]; c != nil {
			return c
		}
		if len(*now) >= state.MostMethods {
			return &m.other
		}
	}
	return m.add(id)
}

func (m *Methods) add(id ID) *Counts {
	m.adding.Lock()
	defer m.adding.Unlock()
	next := make(map[ID]*Counts)
	if now := m.now.Load(); now != nil {
		if c := (*now)[id]; c != nil || len(*now) >= state.MostMethods {
			if c == nil {
				c = &m.other
			}
			return c
		}
		for k, v := range *now {
			next[k] = v
		}
	}
	c := new(Counts)
	next[id] = c
	m.now.Store(&next)
	return c
}

// Cached are the counts of a method, once somebody has looked them up.
type Cached struct{ atomic.Pointer[Counts] }

// In returns them.
func (c *Cached) In(m *Methods, id ID) *Counts {
	counts := c.Load()
	if counts == nil {
		counts = m.Of(id)
		c.Store(counts)
	}
	return counts
}

// Other has the counts of all other methods.
func (m *Methods) Other() *Counts { return &m.other }

func (m *Methods) all() map[ID]*Counts {
	if now := m.now.Load(); now != nil {
		return *now
	}
	return nil
}

// Peer counts the calls with one peer.
type Peer struct {
	Counts
	denied, refused atomic.Uint64
	users           int
}

// Peers are the peers that are counted, up to a number: those in use, and others that
// were. The zero Peers are ready; their methods are safe for concurrent use.
type Peers struct {
	mu    sync.Mutex
	of    map[peer.ID]*Peer
	other Peer
}

// Get returns the counts of a peer, which stay the same until Put. If all that there
// may be are in use they are those of the others.
func (p *Peers) Get(id peer.ID) *Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.of[id]
	if k == nil {
		if len(p.of) >= state.MostPeers && !p.forget() {
			return &p.other
		}
		if p.of == nil {
			p.of = make(map[peer.ID]*Peer)
		}
		k = new(Peer)
		p.of[id] = k
	}
	k.users++
	return k
}

// forget makes room: what an unused peer has counted goes to the others.
func (p *Peers) forget() bool {
	for id, k := range p.of {
		if k.users == 0 {
			p.other.add(&k.Counts)
			p.other.denied.Add(k.denied.Load())
			p.other.refused.Add(k.refused.Load())
			delete(p.of, id)
			return true
		}
	}
	return false
}

// Put gives back what Get has returned.
func (p *Peers) Put(k *Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k != &p.other {
		k.users--
	}
}

func (p *Peers) all() map[peer.ID]*Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[peer.ID]*Peer, len(p.of))
	for id, k := range p.of {
		all[id] = k
	}
	return all
}
