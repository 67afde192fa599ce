package admit

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate counts the calls under way, and shuts. Its methods are safe for concurrent use.
type Gate struct {
	calls  atomic.Int64 // and isShut: to enter is one operation
	locked atomic.Bool
	idle   chan struct{} // closed when the last call has left a shut gate
	once   sync.Once

	shutting  chan struct{} // closed when shut
	shutsOnce sync.Once
}

const isShut = 1 << 62

// Init makes it an open one.
func (g *Gate) Init() { g.idle, g.shutting = make(chan struct{}), make(chan struct{}) }

// Enter lets a call in, unless the gate is shut.
func (g *Gate) Enter() bool {
	if g.calls.Add(1) >= isShut {
		g.Leave()
		return false
	}
	return true
}

// EnterLate lets a call into a shut gate, until that is locked, if one that is
// inside waits for it.
func (g *Gate) EnterLate(inside bool) bool {
	if !inside {
		return false
	}
	g.calls.Add(1)
	if g.locked.Load() {
		g.Leave()
		return false
	}
	return true
}

// Leave follows each call that was let in.
func (g *Gate) Leave() {
	if g.calls.Add(-1) == isShut {
		g.once.Do(func() { close(g.idle) })
	}
}

// Shut lets only those in that are late.
func (g *Gate) Shut() {
	g.calls.Or(isShut)
	g.shutsOnce.Do(func() { close(g.shutting) })
}

// Lock lets nobody in any more.
func (g *Gate) Lock() {
	g.Shut()
	g.locked.Store(true)
}

// Shutting returns a channel that is closed when the gate shuts.
func (g *Gate) Shutting() <-chan struct{} { return g.shutting }

// IsShut reports whether it is shut.
func (g *Gate) IsShut() bool { return g.calls.Load() >= isShut }

// Wait waits until the last call has left a shut gate, or ctx ends, whose error it
// returns.
func (g *Gate) Wait(ctx context.Context) error {
	if g.calls.Load()&^isShut == 0 {
		return nil
	}
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
