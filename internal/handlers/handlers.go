// Package handlers knows which of a host's stream handlers are whose. A host has one
// for each protocol, and does not say who has set it.
package handlers

import (
	"reflect"
	"runtime"
	"slices"
	"sync"
	"weak"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Set is the handlers that one server has set. Whoever is called by them must refer
// to the Set, which is forgotten otherwise. A nil Set is that of a server without a
// host.
type Set struct {
	host host.Host
	ids  []protocol.ID
}

// NewSet returns an empty set for a host.
func NewSet(h host.Host) *Set { return &Set{host: h} }

// Add sets a handler, and reports whether it replaces one of another set.
func (s *Set) Add(id protocol.ID, f network.StreamHandler) (replaced bool) {
	s.ids = append(s.ids, id)
	k := key{s.host.ID(), id}
	p := at(k)
	defer p.leave(k)
	p.owners = slices.DeleteFunc(p.owners, func(o weak.Pointer[Set]) bool {
		other := o.Value()
		same := other != nil && sameHost(other.host, s.host)
		replaced = replaced || same
		return other == nil || same
	})
	p.owners = append(p.owners, weak.Make(s))
	runtime.AddCleanup(s, forget, k)
	s.host.SetStreamHandler(id, f)
	return replaced
}

// Remove removes the handlers that no other set has replaced.
func (s *Set) Remove() {
	if s == nil {
		return
	}
	for _, id := range s.ids {
		k := key{s.host.ID(), id}
		p := at(k)
		if i := slices.Index(p.owners, weak.Make(s)); i >= 0 {
			p.owners = slices.Delete(p.owners, i, i+1)
			s.host.RemoveStreamHandler(id)
		}
		p.leave(k)
	}
}

// sameHost compares what keeps the handlers: a host may be wrapped in others, as one is
// that knows routing, and may be of a type that does not compare.
func sameHost(a, b host.Host) bool {
	x, y := a.Mux(), b.Mux()
	if x == nil || y == nil {
		return compares(a) && compares(b) && a == b
	}
	return compares(x) && compares(y) && x == y
}

func compares(v any) bool { return reflect.TypeOf(v).Comparable() }

// key is of a place. Two hosts of one process may have one ID.
type key struct {
	host peer.ID
	id   protocol.ID
}

// place has the sets whose handlers are in place, one for each host of its key. Hosts
// and servers that nobody has closed are not kept by it.
type place struct {
	sync.Mutex // held while a host's handler is set or removed
	owners     []weak.Pointer[Set]
	users      int // who are at it; places.Mutex guards it
}

var places struct {
	sync.Mutex
	of map[key]*place
}

// at returns a place, locked.
func at(k key) *place {
	places.Lock()
	if places.of == nil {
		places.of = make(map[key]*place)
	}
	p := places.of[k]
	if p == nil {
		p = new(place)
		places.of[k] = p
	}
	p.users++
	places.Unlock()
	p.Lock()
	return p
}

func (p *place) leave(k key) {
	p.Unlock()
	places.Lock()
	defer places.Unlock()
	if p.users--; p.users == 0 && len(p.owners) == 0 {
		delete(places.of, k)
	}
}

// forget is called when a set is collected.
func forget(k key) {
	p := at(k)
	p.owners = slices.DeleteFunc(p.owners, func(o weak.Pointer[Set]) bool { return o.Value() == nil })
	p.leave(k)
}
