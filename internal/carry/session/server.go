package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// maxSessions is how many sessions a peer may have open: one for each of its
// clients.
const maxSessions = 64

// Server has the sessions of a server. Its methods are safe for concurrent use.
type Server struct {
	core   call.Server
	limits *call.Limits
	memory *account.Peers
	places *admit.Places
	tally  *tally.Side

	mu      sync.Mutex
	open    map[*serverSession]struct{} // nil when the server is closed
	perPeer map[peer.ID]int
	leaving string        // what later ones are told
	none    chan struct{} // closed when there are none left; made by Wait
}

// NewServer returns a carrier that hands its calls to core, for which their peers
// have places.
func NewServer(core call.Server, l *call.Limits, memory *account.Peers, places *admit.Places, t *tally.Side) *Server {
	return &Server{
		core: core, limits: l, memory: memory, places: places, tally: t,
		open: make(map[*serverSession]struct{}), perPeer: make(map[peer.ID]int),
	}
}

// serverSession is a server's side of one session.
type serverSession struct {
	server *Server
	st     network.Stream
	peer   peer.ID
	tally  *tally.Peer
	mux    *mux.Server

	headers wire.Headers // that came before

	scope account.Memory // what streaming calls hold is of it
	share account.Share
}

// Serve is the handler of a session's stream.
func (s *Server) Serve(st network.Stream) {
	if err := st.Scope().SetService(call.ServiceName); err != nil {
		_ = st.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	c := &serverSession{server: s, st: st, peer: st.Conn().RemotePeer()}
	if !s.add(c, func() {
		l := muxLimits(s.limits)
		l.Idle *= 2 // the client closes it, if it lives
		l.Settings = s.limits.HeaderTimeout
		l.Share = s.memory.OfStream(st)
		c.scope, c.share = st.Scope(), l.Share
		c.mux = mux.NewServer(muxStream{st}, st.Scope(), l, mux.Handler{
			New: c.newCall, Serve: c.serve, Over: c.over, Ended: func(error) { s.remove(c) },
		})
	}) {
		// By which the client knows that nobody has seen its requests.
		_ = st.ResetWithError(network.StreamProtocolNegotiationFailed)
	}
}

// add begins a session, or reports false: there are too many, or the server is
// closed, or about to be.
func (s *Server) add(c *serverSession, begin func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil || s.none != nil || s.perPeer[c.peer] >= maxSessions {
		return false
	}
	s.open[c] = struct{}{}
	s.perPeer[c.peer]++
	c.tally = s.tally.Peers.Get(c.peer)
	begin()
	if s.leaving != "" {
		c.mux.GoAway(uint64(codes.Unavailable), s.leaving)
	}
	return true
}

func (s *Server) remove(c *serverSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.tally.Peers.Put(c.tally)
	if s.perPeer[c.peer]--; s.perPeer[c.peer] == 0 {
		delete(s.perPeer, c.peer)
	}
	if s.none != nil && len(s.perPeer) == 0 {
		close(s.none)
		s.none, s.open = nil, nil
	}
}

// Wait waits until there are no sessions, which GoAway brings about, or returns
// the error of ctx. No later ones are taken: they could keep it waiting for ever.
func (s *Server) Wait(ctx context.Context) error {
	s.mu.Lock()
	if len(s.perPeer) == 0 {
		s.open = nil
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

// Links adds the sessions to sum.
func (s *Server) Links(sum *tally.Links) {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range all {
		sum.Add(c.st, true, linkOf(c.mux.Stats()))
	}
}

func linkOf(s mux.Stats) state.Link {
	return state.Link{UnderWay: s.Calls, Places: s.Places, Waiting: s.Waiting, In: s.In, Out: s.Out}
}

// GoAway tells the clients that no more calls are taken, and why.
func (s *Server) GoAway(why string) {
	s.mu.Lock()
	s.leaving = why
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range all {
		c.mux.GoAway(uint64(codes.Unavailable), why)
	}
}

// Close ends all sessions, and with them their calls.
func (s *Server) Close() {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		c.mux.Close(call.ErrServerClosed)
	}
}

// serverCall is one call of a session, in a server.
type serverCall struct {
	session *serverSession
	in      mux.Incoming // a part of the call, so that both are one allocation
	header  wire.Header
	body    int // where the argument begins

	mu     sync.Mutex
	ctx    context.Context // nil while nobody has asked
	cancel context.CancelCauseFunc
	why    error // Cancel came before anybody had asked
	over   bool
}

// Peer is that of [call.Served].
func (c *serverCall) Peer() peer.ID { return c.session.peer }

// Connection is that of [call.Served].
func (c *serverCall) Connection() network.Conn { return c.session.st.Conn() }

// Tally is that of [call.Served].
func (c *serverCall) Tally(t *tally.Call) {
	t.With(c.session.tally)
	t.Takes(c.in.Size())
}

func (c *serverSession) newCall() *mux.Incoming {
	k := &serverCall{session: c}
	k.in.Own = k
	return &k.in
}

// serve serves one request.
func (c *serverSession) serve(in *mux.Incoming) {
	core := c.server.core
	k := in.Own.(*serverCall)
	defer k.end()
	in.HasSlot = c.server.places.Take(c.peer)
	var err error
	if err = k.readHeader(); !in.HasSlot {
		err = core.Full()
	} else if err == nil {
		err = k.serve()
	}
	switch {
	case err == nil:
	case in.Flow != nil:
		s := k.newServerStream()
		core.Refuse(s, &k.header, err)
		s.end()
	default:
		core.Refuse(k, &k.header, err)
	}
}

// over frees the call's place. It may not be held until serve has returned: the
// client has the reply before, and may make another call.
func (c *serverSession) over(in *mux.Incoming) {
	if in.HasSlot {
		c.server.places.Free(c.peer)
	}
}

// readHeader reads the header.
func (c *serverCall) readHeader() error {
	l := c.session.server.limits
	first := c.in.First()
	h, n, seen := c.session.headers.Find(first)
	if !seen {
		var err error
		if n, err = msgpack.First(first, l.Header()); err != nil {
			return l.HeaderFault(err)
		}
		if h, err = l.ParseHeader(first[:n]); err != nil {
			return err
		}
		c.session.headers.Keep(first[:n], &h)
	}
	c.header, c.body = h, n
	return nil
}

// serve serves a call whose header was read; an error is still to be told to the
// caller.
func (c *serverCall) serve() error {
	kind := wire.KindUnary
	if c.in.Flow != nil {
		kind = wire.KindStreaming
	}
	switch {
	case c.header.Kind != kind:
		return call.BadHeader(codes.InvalidArgument, "the frame and the header say different kinds of call")
	case kind == wire.KindStreaming:
		return c.serveStream()
	}
	return c.session.server.core.Serve(context.Background(), &c.header, c, nil)
}

// Watch is that of [call.Served]. The context is made when somebody asks, which
// most methods never do.
func (c *serverCall) Watch(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancelCause(ctx)
		if c.over || c.why != nil {
			c.cancel(c.why)
		} else {
			c.in.OnCancel(c.givenUp)
		}
	}
	return c.ctx
}

// Cancel is that of [call.Served].
func (c *serverCall) Cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why = cause; c.cancel != nil {
		c.cancel(cause)
	}
}

// Watched is that of [call.Served].
func (c *serverCall) Watched(ctx context.Context) context.Context {
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
	if codes.Code(code) == codes.DeadlineExceeded {
		// The call has the same deadline here, and the method is to see that.
		timer := time.AfterFunc(call.Grace, func() { c.cancel(call.ErrCallerGone) })
		context.AfterFunc(c.ctx, func() { timer.Stop() })
		return
	}
	switch {
	case errors.Is(err, call.ErrServerClosed):
		c.cancel(call.ErrServerClosed)
	case code == 0: // the session has ended
		c.cancel(errors.Join(call.ErrCallerGone, call.Masked(err)))
	default:
		c.cancel(call.ErrCallerGone)
	}
}

// Argument is that of [call.Served].
func (c *serverCall) Argument(ctx context.Context, l *call.Limits, keep bool) (m codec.Message, err error) {
	scan := l.Message()
	if n := c.in.Size() - c.body; n > scan.Bytes { // not to wait for it
		return m, l.Fault(&msgpack.LimitError{Limit: msgpack.LimitBytes, Max: scan.Bytes}, call.OfServer, "the argument")
	}
	all, kept, err := c.in.Whole(ctx, keep)
	if err != nil {
		return m, messageFault(err, call.OfServer, "the argument", l)
	}
	m.B, m.Kept = all[c.body:], kept
	if len(m.B) == 1 && m.B[0] == wire.StreamEnd {
		return m, call.ErrNilArgument
	}
	m.Form, m.Limits = codec.Modern, scan
	return m, nil
}

// Taken is that of [call.Served]: the request may be large.
func (c *serverCall) Taken() { c.in.Release() }

// Form is that of [call.Served].
func (c *serverCall) Form() codec.Form { return codec.Modern }

// Buffer is that of [call.Served].
func (c *serverCall) Buffer() []byte { return account.NewBuffer(codec.FirstEncoding)[:0] }

// Returns is that of [call.Served].
func (c *serverCall) Returns() bool { return true }

var ok = []byte{msgpack.Nil}

// OK is that of [call.Served].
func (c *serverCall) OK([]byte) []byte { return ok }

// Send is that of [call.Served].
func (c *serverCall) Send(head, body []byte) error {
	defer account.FreeBuffer(head)
	if !c.in.HasSlot { // or there would be no bound to how many wait for the peer to read
		return c.in.Decline(head)
	}
	err := c.in.Reply(head, body)
	if call.RefusedMemory(err) {
		return messageFault(err, call.OfServer, "the reply", c.session.server.limits)
	}
	return call.Masked(err)
}
