package rpc

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
)

// This file is about what a client remembers of each peer: its session, who
// opens one, and that it has none.

// clientSessions are a client's, one for each peer that has them.
type clientSessions struct {
	client  *Client
	mu      sync.Mutex
	peers   map[peer.ID]*peerSessions
	all     map[*clientSession]struct{} // those of peers, and those that wind up
	sweepAt int                         // so many peers
	closed  bool
}

// peerSessions is what is known of one peer.
type peerSessions struct {
	current *clientSession
	opening *opening // while somebody opens one
	none    bool     // when last asked the peer had none
	left    bool     // the last session was ended by a server that stops
	callers int      // who hold on to this
}

// opening is an attempt to open a session, for which other callers wait.
type opening struct {
	over   chan struct{} // closed when it is
	failed bool          // and not because its caller's context had ended
}

// maxOpenings is how many attempts a caller sees fail before it opens a stream
// of its own: all of them, one after the other, would take too long where a peer
// does not answer.
const maxOpenings = 2

func (s *clientSessions) init(c *Client) {
	s.client, s.peers, s.all = c, make(map[peer.ID]*peerSessions), make(map[*clientSession]struct{})
}

func (s *clientSessions) close() {
	s.mu.Lock()
	s.closed = true
	all := s.all
	s.all = nil
	s.mu.Unlock()
	for c := range all {
		c.mux.Close(errClientClosed)
	}
}

// get returns the peer's session, which it opens if there is none.
func (s *clientSessions) get(ctx context.Context, call *CallInfo) (session *clientSession, st network.Stream, err error) {
	s.mu.Lock()
	p := s.peers[call.Peer]
	if c := p.session(); c != nil && !c.limited {
		s.mu.Unlock()
		return c, nil, nil
	}
	if p == nil {
		s.sweep()
		p = new(peerSessions)
		s.peers[call.Peer] = p
	}
	p.callers++
	defer s.letGo(call.Peer, p)
	for failed := 0; ; {
		if s.closed {
			s.mu.Unlock()
			return nil, nil, s.client.closedError(call.ID()).notSent(true)
		}
		if c := p.session(); c != nil {
			s.mu.Unlock()
			if !c.limited {
				return c, nil, nil
			}
			return s.overRelay(ctx, c)
		}
		if p.none || p.opening == nil {
			break
		}
		opening := p.opening
		s.mu.Unlock()
		select {
		case <-opening.over:
		case <-ctx.Done():
			return nil, nil, contextError(ctx, call.ID()).notSent(true)
		}
		if opening.failed {
			failed++
		}
		if failed == maxOpenings {
			return nil, nil, errNoSession
		}
		s.mu.Lock()
	}
	if !p.none {
		opening := &opening{over: make(chan struct{})}
		p.opening = opening
		defer func() {
			s.mu.Lock()
			p.opening, opening.failed = nil, err != nil && ctx.Err() == nil
			s.mu.Unlock()
			close(opening.over)
		}()
	}
	s.mu.Unlock()
	return s.open(ctx, call, p)
}

// overRelay decides about a session over a relayed connection: a caller must
// have allowed that, and a direct connection is better.
func (s *clientSessions) overRelay(ctx context.Context, c *clientSession) (*clientSession, network.Stream, error) {
	if s.client.host.Network().Connectedness(c.peer) == network.Connected {
		s.forget(c, false)
		c.mux.Retire()
		return nil, nil, errNoSession // the next call opens a better one
	}
	if allowed, _ := network.GetAllowLimitedConn(ctx); !allowed {
		return nil, nil, errNoSession
	}
	return c, nil, nil
}

// open opens a session, or a stream of another protocol if the peer has none.
func (s *clientSessions) open(ctx context.Context, call *CallInfo, p *peerSessions) (*clientSession, network.Stream, error) {
	c := s.client
	st, err := c.newStream(ctx, call, sessions(c.protocol), c.extended, c.protocol)
	if err != nil {
		return nil, nil, err
	}
	if st.Protocol() != sessions(c.protocol) {
		s.mu.Lock()
		p.none = true
		s.mu.Unlock()
		return nil, st, nil
	}
	if err := st.Scope().SetService(ServiceName); err != nil {
		_ = st.Reset()
		return nil, nil, clientError(CodeResourceExhausted, call.ID(), "libp2p's resource manager refuses the stream: %w", err).over(limitOfLibp2p).notSent(true)
	}
	session := &clientSession{conn: st.Conn(), peer: call.Peer, limited: st.Conn().Stat().Limited}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.none = false
	other := p.session()
	switch {
	case s.closed:
		_ = st.Reset()
		return nil, nil, c.closedError(call.ID()).notSent(true)
	case other != nil && !other.limited: // it was quicker
		go func() { _ = st.Reset() }()
		return other, nil, nil
	}
	if other != nil {
		other.mux.Retire() // this one is better
	}
	s.all[session] = struct{}{}
	p.current = session
	l := c.limits.session()
	// One that stops may be gone before it can say so again: then nobody would
	// know of the requests on the way.
	l.Patient, p.left = p.left, false
	l.Share = shareOf(c.memory, st)
	session.mux = mux.NewClient(sessionStream{st}, st.Scope(), l, func(error) {
		s.forget(session, false)
		s.mu.Lock()
		delete(s.all, session)
		s.mu.Unlock()
	})
	return session, nil, nil
}

// minSweep is how many peers there are at least before any is forgotten.
const minSweep = 1 << 10

// sweep forgets, now and then, what is known of peers that are not connected:
// a program may meet any number of them.
func (s *clientSessions) sweep() {
	if len(s.peers) < max(s.sweepAt, minSweep) {
		return
	}
	for id, p := range s.peers {
		if p.callers == 0 && p.current == nil && s.client.host.Network().Connectedness(id) == network.NotConnected {
			delete(s.peers, id)
		}
	}
	s.sweepAt = 2 * len(s.peers)
}

// session returns the peer's session. One whose connection has closed is none:
// what is written there may be lost, and nobody would know.
func (p *peerSessions) session() *clientSession {
	if p == nil || p.current == nil {
		return nil
	}
	if p.current.conn.IsClosed() {
		p.drop(false)
	}
	return p.current
}

// drop forgets the session.
func (p *peerSessions) drop(none bool) {
	p.current, p.none, p.left = nil, none, p.current.mux.WentAway()
}

func (p *peerSessions) known() bool { return p.current != nil || p.none || p.left }

// letGo forgets a peer of which nothing is known.
func (s *clientSessions) letGo(id peer.ID, p *peerSessions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.callers--; p.callers == 0 && !p.known() {
		delete(s.peers, id)
	}
}

// forget makes the next call open another session, or, if the peer has none,
// ask for one in passing.
func (s *clientSessions) forget(c *clientSession, none bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[c.peer]
	if p == nil {
		return
	}
	if p.current == c {
		p.drop(none)
	}
	if p.callers == 0 && !p.known() {
		delete(s.peers, c.peer)
	}
}
