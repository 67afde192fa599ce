package rpc

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Close ends the service at once: calls under way are cancelled and their
// streams reset, and no others are taken, remote or local. Methods that local
// clients are calling run on, under their callers' contexts. It does not wait;
// [Server.Shutdown] does. Close may be called several times, and always
// returns nil.
func (s *Server) Close() error {
	s.gate.close()
	s.gate.locked.Store(true)
	s.stopHandling()
	return nil
}

// Shutdown takes no new calls, remote or local, and lets those under way
// finish. It returns nil when they have. When ctx ends before, it cancels the
// rest, as Close does, and returns the context's error.
//
// A peer that calls meanwhile gets an error with [CodeUnavailable].
func (s *Server) Shutdown(ctx context.Context) error {
	s.gate.close()
	s.sessions.goAway("the server is shutting down")
	err := s.gate.wait(ctx)
	if err == nil {
		err = s.sessions.wait(ctx) // for the last replies to be sent
	}
	_ = s.Close()
	return err
}

func (s *Server) stopHandling() {
	open := s.conns.close()
	if open == nil { // closed before
		return
	}
	if s.host != nil {
		s.host.RemoveStreamHandler(s.protocol)
		s.host.RemoveStreamHandler(extended(s.protocol))
		if !s.noSessions {
			s.host.RemoveStreamHandler(sessions(s.protocol))
		}
	}
	s.sessions.close()
	for c := range open {
		c.closed.Store(true) // what the method makes of it is not told
		c.cancel(errServerClosed)
	}
	for c := range open {
		go c.abort() // which may wait for a peer that reads nothing
	}
}

// conns are the streams of the calls under way, for Close to end.
type conns struct {
	mu   sync.Mutex
	open map[*serverConn]struct{} // nil when the server is closed
}

// add reports false when the server is closed.
func (s *conns) add(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *conns) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *conns) close() (open map[*serverConn]struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open, s.open = s.open, nil
	return open
}

// gate counts the calls under way, and shuts.
type gate struct {
	calls  atomic.Int64
	shut   atomic.Bool
	locked atomic.Bool
	idle   chan struct{} // closed when the last call has left a shut gate
	once   sync.Once
}

// enter lets a call in, unless the gate is shut.
func (g *gate) enter() bool {
	g.calls.Add(1)
	if g.shut.Load() {
		g.leave()
		return false
	}
	return true
}

// enterLate lets a call into a shut gate, until that is locked, if one that is
// inside waits for it.
func (g *gate) enterLate(inside bool) bool {
	if !inside {
		return false
	}
	g.calls.Add(1)
	if g.locked.Load() {
		g.leave()
		return false
	}
	return true
}

func (g *gate) leave() {
	// The last but one may look before the gate is shut, and the last enter
	// before it looks again.
	if g.calls.Add(-1) == 0 && g.shut.Load() && g.calls.Load() == 0 {
		g.once.Do(func() { close(g.idle) })
	}
}

func (g *gate) close() { g.shut.Store(true) }

func (g *gate) wait(ctx context.Context) error {
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

// slots counts the calls of remote peers.
type slots struct {
	mu              sync.Mutex
	max, maxPerPeer int
	total           int
	perPeer         map[peer.ID]int
}

// takePeer takes one of p's slots.
func (s *slots) takePeer(p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perPeer[p] >= s.maxPerPeer {
		return false
	}
	s.perPeer[p]++
	return true
}

func (s *slots) freePeer(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perPeer[p]--; s.perPeer[p] == 0 {
		delete(s.perPeer, p)
	}
}

// admitted lets a call in if there is room. Only calls that were authorized
// count: a peer that may do nothing cannot keep out those that may.
func (s *Server) admitted(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		s.slots.mu.Lock()
		full := s.slots.total >= s.slots.max
		if !full {
			s.slots.total++
		}
		s.slots.mu.Unlock()
		if full {
			return serverError(CodeResourceExhausted, call.ID(),
				"the server has %d calls under way, as many as it takes; Limits.Calls sets it", s.slots.max).over("Limits.Calls").notSent(true)
		}
		defer func() {
			s.slots.mu.Lock()
			s.slots.total--
			s.slots.mu.Unlock()
		}()
		return next(ctx, call)
	}
}

// held is the link of the chain in which arguments are accounted for: it gives
// them back when the method has returned, before the caller gets the reply and
// may make another call.
func held(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		defer func() {
			call.Args = nil // or it would be held while the reply is sent
			call.remote.holding().Release()
		}()
		return next(ctx, call)
	}
}
