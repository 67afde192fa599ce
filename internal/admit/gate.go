package admit

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate counts the calls under way, and shuts. Init comes first.
type Gate struct {
	calls  atomic.Int64
	shut   atomic.Bool
	locked atomic.Bool
	idle   chan struct{} // closed when the last call has left a shut gate
	once   sync.Once

	shutting  chan struct{} // closed when shut
	shutsOnce sync.Once
}

// Init opens the gate.
func (g *Gate) Init() { g.idle, g.shutting = make(chan struct{}), make(chan struct{}) }

// Shutting returns a channel that is closed when the gate is shut.
func (g *Gate) Shutting() <-chan struct{} { return g.shutting }

// IsShut reports whether it is.
func (g *Gate) IsShut() bool { return g.shut.Load() }

// Enter lets a call in, unless the gate is shut.
func (g *Gate) Enter() bool {
	g.calls.Add(1)
	if g.shut.Load() {
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

// Leave ends a call that was let in.
func (g *Gate) Leave() {
	// The last but one may look before the gate is shut, and the last enter
	// before it looks again.
	if g.calls.Add(-1) == 0 && g.shut.Load() && g.calls.Load() == 0 {
		g.once.Do(func() { close(g.idle) })
	}
}

// Close shuts the gate.
func (g *Gate) Close() {
	g.shut.Store(true)
	g.shutsOnce.Do(func() { close(g.shutting) })
}

// Lock keeps those out, too, that EnterLate would let in.
func (g *Gate) Lock() { g.locked.Store(true) }

// Wait waits until the last call has left the gate, which is shut, or returns the error of ctx.
func (g *Gate) Wait(ctx context.Context) error {
	if g.calls.Load() == 0 {
		return nil
	}
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
