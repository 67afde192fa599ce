package rpc

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	pool "github.com/libp2p/go-buffer-pool"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// errNoSession: the call is to be made on a stream of its own.
var errNoSession = errors.New("no session")

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

// clientSession is a client's side of one session.
type clientSession struct {
	mux     *mux.Client
	conn    network.Conn
	peer    peer.ID
	limited bool // over a relay
}

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

// maxTries is how often a call is made that is known not to have been sent.
const maxTries = 3

// call makes a unary call on a session. Where the peer has none it returns a
// stream to make the call on, or errNoSession.
func (s *clientSessions) call(ctx context.Context, call *CallInfo, body *encodedValue) (network.Stream, error) {
	c := s.client
	if msgpack.StringMapSize(outgoing(ctx)) > maxSessionHeader/2 {
		return nil, errNoSession // the header has to be in one piece
	}
	for try := 1; ; try++ {
		session, st, err := s.get(ctx, call)
		if err != nil || st != nil {
			return st, err
		}
		if call.stats != nil && try == 1 {
			call.stats.out(reflect.ValueOf(call.Args), body.head)
		}
		err = session.call(ctx, c, call, body)
		if err == nil {
			return nil, nil
		}
		if err = s.retry(session, call, err, try == maxTries); err != nil {
			return nil, err
		}
	}
}

// retry returns nil for a call that is to be made again, for it has certainly
// not been sent, and otherwise its error.
func (s *clientSessions) retry(session *clientSession, call *CallInfo, err error, last bool) error {
	var ended *mux.EndedError
	if !errors.As(err, &ended) {
		return err
	}
	if isUnserved(ended.Err) {
		// libp2p may remember what the peer served before it was restarted. It
		// has not seen the request.
		s.forget(session, true)
		return errNoSession
	}
	s.forget(session, false)
	if ended.Sent || last {
		return s.endedError(call, ended)
	}
	return nil
}

func isUnserved(err error) bool {
	var unserved multistream.ErrNotSupported[protocol.ID]
	var reset *network.StreamError
	return errors.As(err, &unserved) ||
		errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamProtocolNegotiationFailed
}

func (s *clientSessions) endedError(call *CallInfo, ended *mux.EndedError) error {
	id := call.ID()
	var away *mux.GoAwayError
	switch {
	case errors.As(ended, &away) && away.Code != 0:
		return serverError(Code(away.Code), id, "%s", away.Text).notSent(!ended.Sent)
	case errors.Is(ended, errClientClosed):
		return s.client.closedError(id).notSent(!ended.Sent)
	case errors.Is(ended, mux.ErrSilent):
		return clientError(CodeUnavailable, id, "peer %v is silent: no answer to a ping, and nothing moves; Limits.SilenceTimeout (%v) sets how long it may be",
			call.Peer, s.client.limits.SilenceTimeout).broke(call.Peer).notSent(!ended.Sent)
	case isTurnedAway(ended.Err):
		return turnedAway(id, call.Peer, ended.Err)
	case ended.Sent:
		return clientError(CodeUnavailable, id, "peer %v: the session ended before the reply; the request may have been served: %w", call.Peer, ended.Err).broke(call.Peer)
	}
	return clientError(CodeUnavailable, id, "peer %v: the session ended before the request was sent: %w", call.Peer, ended.Err).broke(call.Peer).notSent(true)
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
	session.mux = mux.NewClient(sessionStream{st}, st.Scope(), l, func(error) {
		s.forget(session, false)
		s.mu.Lock()
		delete(s.all, session)
		s.mu.Unlock()
	})
	return session, nil, nil
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

// call makes one call.
func (s *clientSession) call(ctx context.Context, c *Client, call *CallInfo, body *encodedValue) error {
	r := newSessionRequest(ctx, call, body)
	defer r.done()
	reply, err := s.mux.Call(ctx, r.head, r.rest, r.owned, codeNumber)
	return s.finish(ctx, c, call, reply, err)
}

// sessionRequest is what a session carries of a call.
type sessionRequest struct {
	head, rest []byte
	owned      int // how much of it is the library's
}

func newSessionRequest(ctx context.Context, call *CallInfo, body *encodedValue) (r sessionRequest) {
	h := wire.Header{Service: call.Service, Method: call.Method, Kind: wire.KindUnary, Metadata: outgoing(ctx)}
	if deadline, ok := ctx.Deadline(); ok {
		h.Timeout = max(time.Until(deadline), 1)
	}
	r.head = wire.AppendHeader(pool.Get(len(h.Service) + len(h.Method) + requestKeys)[:0], &h)
	r.rest, r.owned = body.head, len(r.head)+len(body.head)
	if body.users != nil {
		r.head = append(r.head, body.head...)
		r.rest = body.users
	}
	return r
}

func codeNumber(err error) uint64 { return uint64(CodeOf(err)) }

// requestKeys is room for a header without metadata beside the two names.
const requestKeys = 64

func (r *sessionRequest) done() { pool.Put(r.head) }

// finish ends a call that mux has carried.
func (s *clientSession) finish(ctx context.Context, c *Client, call *CallInfo, reply mux.Reply, err error) error {
	if err != nil {
		return s.explain(ctx, c, call, err)
	}
	defer reply.Release()
	if err = c.finish(call, reply.Bytes()); err == nil {
		return nil
	}
	return ownDeadline(ctx, call, err)
}

func (s *clientSession) explain(ctx context.Context, c *Client, call *CallInfo, err error) error {
	id := call.ID()
	var refused *mux.RefusedError
	var large *mux.TooLargeError
	switch {
	case errors.As(err, new(*mux.EndedError)):
		return err
	case ctx.Err() != nil:
		return contextError(ctx, id)
	case errors.As(err, &refused):
		return s.refused(id, refused)
	case errors.As(err, new(*mux.AbortedError)):
		return serverError(CodeInternal, id, "peer %v ended the call without a reply", s.peer)
	case errors.As(err, &large) && large.Request:
		return clientError(CodeResourceExhausted, id, "the argument is %d bytes long, and the server takes %d; Limits.MessageSize of the server sets it", large.Size, large.Max).over("Limits.MessageSize")
	}
	err = sessionError(err, id, ClientErr, "the reply", &c.limits)
	var e *Error
	if errors.As(err, &e) && e.Code == CodeUnavailable {
		e.broke(s.peer)
	}
	return err
}

// refused is the error of a call that the server had no room for.
func (s *clientSession) refused(id ServiceID, r *mux.RefusedError) *Error {
	if Code(r.Code) == CodeUnavailable {
		return serverError(CodeUnavailable, id, "peer %v refuses the call: %s", s.peer, r.Text).over("Limits.CallsPerPeer").notSent(true)
	}
	return serverError(Code(r.Code), id, "peer %v refuses the call, for libp2p's resource manager has no memory for it: %s", s.peer, r.Text).
		over(limitOfLibp2p).notSent(true)
}

// finish reads a response, header and reply.
func (c *Client) finish(call *CallInfo, b []byte) error {
	l := &c.limits
	var failure error
	if !msgpack.IsNil(b) {
		n, err := msgpack.First(b, responseLimits)
		if err != nil {
			return clientError(CodeInternal, call.ID(), "bad response: %w", err)
		}
		if failure, err = readFailure(call.ID(), b[:n]); err != nil {
			return err
		}
		b = b[n:]
	} else {
		b = b[1:]
	}
	err := c.setReply(call, b, msgpack.Check(b, l.message()), failure)
	if err != nil && !isCallError(err) { // it is not one value
		err = clientError(CodeInternal, call.ID(), "bad response: %w", err)
	}
	return err
}
