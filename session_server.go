package rpc

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// serverSession is a server's side of one session.
type serverSession struct {
	server *Server
	peer   peer.ID
	mux    *mux.Server

	headers wire.Headers // that came before
}

// maxSessions is how many sessions a peer may have open: one for each of its
// clients.
const maxSessions = 64

// serverSessions are those of a server.
type serverSessions struct {
	mu      sync.Mutex
	open    map[*serverSession]struct{} // nil when the server is closed
	perPeer map[peer.ID]int
	leaving string        // what later ones are told
	none    chan struct{} // closed when there are none left; made by wait
}

// serveSession is the handler of a session's stream.
func (s *Server) serveSession(st network.Stream) {
	if err := st.Scope().SetService(ServiceName); err != nil {
		_ = st.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	c := &serverSession{server: s, peer: st.Conn().RemotePeer()}
	if !s.sessions.add(c, func() {
		l := s.limits.session()
		l.Idle *= 2 // the client closes it, if it lives
		l.Settings = s.limits.HeaderTimeout
		l.Share = shareOf(s.memory, st)
		c.mux = mux.NewServer(sessionStream{st}, st.Scope(), l, c.serve, c.over, func(error) { s.sessions.remove(c) })
	}) {
		// By which the client knows that nobody has seen its requests.
		_ = st.ResetWithError(network.StreamProtocolNegotiationFailed)
	}
}

// add begins a session, or reports false: there are too many, or the server is
// closed.
func (s *serverSessions) add(c *serverSession, begin func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil || s.perPeer[c.peer] >= maxSessions {
		return false
	}
	s.open[c] = struct{}{}
	s.perPeer[c.peer]++
	begin()
	if s.leaving != "" {
		c.mux.GoAway(uint64(CodeUnavailable), s.leaving)
	}
	return true
}

func (s *serverSessions) remove(c *serverSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	if s.perPeer[c.peer]--; s.perPeer[c.peer] == 0 {
		delete(s.perPeer, c.peer)
	}
	if s.none != nil && len(s.perPeer) == 0 {
		close(s.none)
		s.none = nil
	}
}

// wait waits until there are none, which goAway brings about.
func (s *serverSessions) wait(ctx context.Context) error {
	s.mu.Lock()
	if len(s.perPeer) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.none == nil {
		s.none = make(chan struct{})
	}
	none := s.none
	s.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *serverSessions) goAway(why string) {
	s.mu.Lock()
	s.leaving = why
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range all {
		c.mux.GoAway(uint64(CodeUnavailable), why)
	}
}

func (s *serverSessions) close() {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		c.mux.Close(errServerClosed)
	}
}

// serverCall is one call of a session, in a server.
type serverCall struct {
	CallInfo
	session *serverSession
	in      *mux.Incoming
	header  int // how long it is
	methods serverContext
	holds   holding

	mu     sync.Mutex
	ctx    context.Context // nil while nobody has asked
	cancel context.CancelCauseFunc
	over   bool
}

func (c *serverCall) caller() peer.ID { return c.session.peer }

// serve serves one request.
func (c *serverSession) serve(in *mux.Incoming) {
	s := c.server
	call := &serverCall{session: c, in: in, CallInfo: CallInfo{Peer: c.peer, Kind: Unary}, holds: holding{account: &s.decoded, peer: c.peer}}
	call.remote = call
	defer call.end()
	in.HasSlot = s.slots.takePeer(c.peer)
	var err error
	if in.HasSlot {
		err = call.serveRequest()
	} else {
		err = s.noSlot()
	}
	if err != nil {
		_ = call.respond(&call.CallInfo, err)
	}
}

// over frees the call's slot. It may not be held until serve has returned: the
// client has the reply before, and may make another call.
func (c *serverSession) over(in *mux.Incoming) {
	if in.HasSlot {
		c.server.slots.freePeer(c.peer)
	}
}

// serveRequest reads the header and serves the call; an error is still to be
// told to the caller.
func (c *serverCall) serveRequest() error {
	s := c.session.server
	first := c.in.First()
	h, n, seen := c.session.headers.Find(first)
	if !seen {
		var err error
		if n, err = msgpack.First(first, s.limits.header()); err != nil {
			return s.limits.headerError(err)
		}
		if h, err = s.limits.parseHeader(first[:n]); err != nil {
			return err
		}
		c.session.headers.Keep(first[:n], &h)
	}
	c.header = n
	if h.Kind != wire.KindUnary {
		return badHeader(CodeInvalidArgument, "a session carries unary calls only")
	}
	return s.dispatch(context.Background(), &c.CallInfo, &h)
}

func (c *serverCall) context() *serverContext { return &c.methods }

func (c *serverCall) holding() *holding { return &c.holds }

// watched returns the call's context as one that ends when the caller has
// gone. It is made when somebody asks, which most methods never do.
func (c *serverCall) watched(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancelCause(ctx)
		if c.over {
			c.cancel(nil)
		} else {
			c.in.OnCancel(c.givenUp)
		}
	}
	return c.ctx
}

// made returns what watched did, if anybody has asked, and else ctx.
func (c *serverCall) made(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		return ctx
	}
	return c.ctx
}

// end ends the context of a call that is over.
func (c *serverCall) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel(nil)
	}
}

// givenUp cancels the method's context, for the caller has gone.
func (c *serverCall) givenUp(code uint64, err error) {
	if Code(code) == CodeDeadlineExceeded {
		// The call has the same deadline here, and the method is to see that.
		timer := time.AfterFunc(deadlineGrace, func() { c.cancel(errCallerGone) })
		context.AfterFunc(c.ctx, func() { timer.Stop() })
		return
	}
	if errors.Is(err, errServerClosed) {
		c.cancel(errServerClosed)
		return
	}
	c.cancel(errCallerGone)
}

// receive waits for the argument and decodes it.
func (c *serverCall) receive(ctx context.Context, call *CallInfo) error {
	l := &c.session.server.limits
	all, kept, err := c.in.Whole(ctx, call.method.arg == bytesType)
	if err != nil {
		return sessionError(err, call.ID(), ServerErr, "the argument", l)
	}
	b := all[c.header:]
	if len(b) == 1 && b[0] == wire.StreamEnd {
		return call.method.mismatch("nil") // noArgument
	}
	values, err := msgpack.Count(b, l.message())
	err = call.setArgument(message{b, values, kept}, err, l)
	c.in.Release() // before the method runs: it may be large
	return err
}

// respond sends the reply and the error.
func (c *serverCall) respond(call *CallInfo, err error) error {
	b, users, told := c.session.server.appendResponse(account.NewBuffer(firstEncoding)[:0], call, err)
	defer func() { account.FreeBuffer(b) }()
	if !c.in.HasSlot { // or there would be no bound to how many wait for the peer to read
		return c.in.Decline(b)
	}
	failed := c.in.Reply(b, users)
	if isRefusedMemory(failed) {
		told = cmp.Or(told, sessionError(failed, call.ID(), ServerErr, "the reply", &c.session.server.limits))
		call.Reply = nil // which is what is too large
		b, users, _ = c.session.server.appendResponse(b[:0], call, told)
		failed = c.in.Reply(b, users)
	}
	if failed != nil && told == nil {
		return failed
	}
	return told
}

// sessionError is the error of a message that did not come, or is too large.
func sessionError(err error, id ServiceID, kind ErrorType, what string, l *Limits) error {
	var large *mux.TooLargeError
	switch {
	case errors.As(err, &large):
		return limitError(&msgpack.LimitError{Limit: msgpack.LimitBytes, Max: l.MessageSize}, id, kind, what, l)
	case errors.Is(err, mux.ErrStalled):
		return limitError(wire.ErrStalled, id, kind, what, l)
	case isRefusedMemory(err):
		return limitError(err, id, kind, what, l)
	}
	return newError(kind, CodeUnavailable, id, "%s: %w", []any{what, err})
}
