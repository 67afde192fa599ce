package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
)

// This file is about what a client remembers of each peer: its session, who
// opens one, and that it has none.

// PoolConfig is what a pool has of its client.
type PoolConfig struct {
	Host    host.Host
	Limits  *call.Limits
	Decoded *account.Decoded
	Memory  *account.Peers
	Long    func(*call.Call) // is told of streaming calls that move much
	Tally   *tally.Side
	Protect *call.Protector
}

// Pool holds the sessions of a client, one for each peer that has them. Its methods
// are safe for concurrent use.
type Pool struct {
	PoolConfig
	replies call.Replies
	message msgpack.Limits

	mu      sync.Mutex
	peers   map[peer.ID]*peerSessions
	all     map[*Session]struct{} // those of peers, and those that wind up
	sweepAt int                   // so many peers
	closed  bool
}

// peerSessions is what is known of one peer.
type peerSessions struct {
	current *Session
	opening *opening // while somebody opens one
	none    bool     // when last asked the peer had none
	left    bool     // the last session was ended by a server that stops
	callers int      // who hold on to this
}

// opening is an attempt to open a session, for which other callers wait.
type opening struct {
	over chan struct{} // closed when it is
	by   terms         // of its caller
	err  error         // with which it failed, unless its caller's context had ended
}

// terms are what a caller's context says about connections: an attempt on others would
// have ended otherwise.
type terms struct {
	noDial, limited, direct bool
	timeout                 time.Duration
}

func termsOf(ctx context.Context) (t terms) {
	t.noDial, _ = network.GetNoDial(ctx)
	t.limited, _ = network.GetAllowLimitedConn(ctx)
	t.direct, _ = network.GetForceDirectDial(ctx)
	t.timeout = network.GetDialPeerTimeout(ctx)
	return t
}

// NewPool returns a pool, which Close ends.
func NewPool(c PoolConfig) *Pool {
	return &Pool{
		PoolConfig: c, replies: call.Replies{Limits: c.Limits, Decoded: c.Decoded}, message: c.Limits.Message(),
		peers: make(map[peer.ID]*peerSessions), all: make(map[*Session]struct{}),
	}
}

// Close ends all sessions, and with them their calls.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	all := p.all
	p.all = nil
	p.mu.Unlock()
	for s := range all {
		s.mux.Close(call.ErrClientClosed)
	}
}

// Current returns the peer's session, if there is one that every call may use.
func (p *Pool) Current(id peer.ID) *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.peers[id].session(); s != nil && !s.limited {
		return s
	}
	return nil
}

// Waiting is how many calls of each peer wait for a place.
func (p *Pool) Waiting() map[peer.ID]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := make(map[peer.ID]int)
	for s := range p.all {
		if n := s.mux.Waiting(); n > 0 {
			waiting[s.peer] += n
		}
	}
	return waiting
}

// Opener is the caller that is to open a stream to a peer: of a session, if the
// peer has them. Others may wait for it until Close.
type Opener struct {
	pool    *Pool
	id      peer.ID
	peer    *peerSessions
	opening *opening // nil if nobody waits
}

// Find returns the session for a call, or who is to open one: the caller itself.
// Without either the call is to be made on a stream of its own. It waits while
// another caller opens a session, and fails with that one.
func (p *Pool) Find(ctx context.Context, id peer.ID) (*Session, *Opener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.peers[id]
	if k == nil {
		p.sweep()
		k = new(peerSessions)
		p.peers[id] = k
	}
	k.callers++
	for {
		s := k.session()
		switch {
		case p.closed:
			p.letGo(id, k)
			return nil, nil, call.Closed().NotSent(true)
		case s != nil:
			p.letGo(id, k)
			return p.overRelay(ctx, s), nil, nil
		case k.none || k.opening == nil:
			return nil, p.opener(ctx, id, k), nil
		}
		if err := p.await(ctx, k.opening); err != nil {
			p.letGo(id, k)
			return nil, nil, err
		}
	}
}

// await waits until somebody has opened a session, or failed as the caller would have.
// The pool is locked, but not meanwhile.
func (p *Pool) await(ctx context.Context, o *opening) error {
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-o.over:
		if o.by == termsOf(ctx) {
			return o.err
		}
		return nil
	case <-ctx.Done():
		return call.Ended(ctx).NotSent(true)
	}
}

func (p *Pool) opener(ctx context.Context, id peer.ID, k *peerSessions) *Opener {
	o := &Opener{pool: p, id: id, peer: k}
	if !k.none {
		o.opening = &opening{over: make(chan struct{}), by: termsOf(ctx)}
		k.opening = o.opening
	}
	return o
}

// Close lets those go on who wait, or end with err: there is no stream, and this is not
// for the caller's context.
func (o *Opener) Close(err error) {
	o.pool.mu.Lock()
	defer o.pool.mu.Unlock()
	if o.opening != nil {
		o.peer.opening, o.opening.err = nil, err
		close(o.opening.over)
	}
	o.pool.letGo(o.id, o.peer)
}

// overRelay returns s, or nil for the call to be made elsewhere if s is over a
// relayed connection: a caller must have allowed that, and a direct connection is
// better.
func (p *Pool) overRelay(ctx context.Context, s *Session) *Session {
	if !s.limited {
		return s
	}
	if p.Host.Network().Connectedness(s.peer) == network.Connected {
		p.drop(s, false)
		s.mux.Retire()
		return nil // the next call opens a better one
	}
	if allowed, _ := network.GetAllowLimitedConn(ctx); !allowed {
		return nil
	}
	return s
}

// None notes that the peer has no sessions.
func (o *Opener) None() {
	o.pool.mu.Lock()
	defer o.pool.mu.Unlock()
	o.peer.none = true
}

// Adopt makes a session of a stream, or returns the one of a caller who was quicker.
func (o *Opener) Adopt(st network.Stream) (*Session, error) {
	p := o.pool
	if err := st.Scope().SetService(call.ServiceName); err != nil {
		_ = st.Reset()
		return nil, call.NoStream(err)
	}
	s := &Session{pool: p, st: st, peer: o.id, limited: st.Conn().Stat().Limited}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.peer.none = false
	other := o.peer.session()
	switch {
	case p.closed:
		_ = st.Reset()
		return nil, call.Closed().NotSent(true)
	case other != nil && !other.limited:
		go func() { _ = st.Reset() }()
		return other, nil
	}
	if other != nil {
		other.mux.Retire() // this one is better
	}
	p.all[s] = struct{}{}
	o.peer.current = s
	s.tally = p.Tally.Peers.Get(o.id)
	l := muxLimits(p.Limits)
	// One that stops may be gone before it can say so again: then nobody would
	// know of the requests on the way.
	l.Patient, o.peer.left = o.peer.left, false
	l.Share = p.Memory.OfStream(st)
	l.Busy = func(busy bool) { p.Protect.Protect(s.peer, busy) }
	s.scope, s.share = st.Scope(), l.Share
	s.mux = mux.NewClient(muxStream{st}, st.Scope(), l, func(err error) {
		if errors.Is(err, mux.ErrSilent) {
			s.leave()
		}
		p.forget(s, false)
		p.mu.Lock()
		delete(p.all, s)
		p.mu.Unlock()
		p.Tally.Peers.Put(s.tally)
	})
	return s, nil
}

// Links adds the sessions to sum.
func (p *Pool) Links(sum *tally.Links) {
	p.mu.Lock()
	all := slices.Collect(maps.Keys(p.all))
	p.mu.Unlock()
	for _, s := range all {
		sum.Add(s.st, true, linkOf(s.mux.Stats()))
	}
}

// muxStream is a libp2p stream as a session wants it.
type muxStream struct{ network.Stream }

// minSweep is how many peers there are at least before any is forgotten.
const minSweep = 1 << 10

// sweep forgets, now and then, what is known of peers that are not connected:
// a program may meet any number of them.
func (p *Pool) sweep() {
	if len(p.peers) < max(p.sweepAt, minSweep) {
		return
	}
	for id, k := range p.peers {
		if k.callers == 0 && k.current == nil && p.Host.Network().Connectedness(id) == network.NotConnected {
			delete(p.peers, id)
		}
	}
	p.sweepAt = 2 * len(p.peers)
}

// session returns the peer's session. One whose connection has closed is none:
// what is written there may be lost, and nobody would know.
func (k *peerSessions) session() *Session {
	if k == nil || k.current == nil {
		return nil
	}
	if k.current.st.Conn().IsClosed() {
		k.drop(false)
	}
	return k.current
}

// drop forgets the session.
func (k *peerSessions) drop(none bool) {
	k.current, k.none, k.left = nil, none, k.current.mux.WentAway()
}

func (k *peerSessions) known() bool { return k.current != nil || k.none || k.left }

// letGo forgets a peer of which nothing is known. The pool is locked.
func (p *Pool) letGo(id peer.ID, k *peerSessions) {
	if k.callers--; k.callers == 0 && !k.known() {
		delete(p.peers, id)
	}
}

// forget makes the next call open another session, or, if the peer has none,
// ask for one in passing.
func (p *Pool) forget(s *Session, none bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(s, none)
}

// drop is forget with the pool locked.
func (p *Pool) drop(s *Session, none bool) {
	k := p.peers[s.peer]
	if k == nil {
		return
	}
	if k.current == s {
		k.drop(none)
	}
	if k.callers == 0 && !k.known() {
		delete(p.peers, s.peer)
	}
}
