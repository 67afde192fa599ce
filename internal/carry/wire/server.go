package wire

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/stream"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Server takes the calls that come on streams of their own. Its methods are safe
// for concurrent use.
type Server struct {
	core   call.Server
	limits *call.Limits
	memory *account.Peers
	places *admit.Places
	tally  *tally.Side
	gate   admit.Gate // of the streams that are not over

	leaving atomic.Bool // Shut was called

	mu   sync.Mutex
	open map[*serverConn]struct{} // nil when the server is closed
}

// NewServer returns a carrier that hands its calls to core, for which their peers
// have places.
func NewServer(core call.Server, l *call.Limits, memory *account.Peers, places *admit.Places, t *tally.Side) *Server {
	s := &Server{core: core, limits: l, memory: memory, places: places, tally: t, open: make(map[*serverConn]struct{})}
	s.gate.Init()
	return s
}

// Leave says that the server is about to be closed: from now on a stream is over when its
// client has the answer.
func (s *Server) Leave() { s.leaving.Store(true) }

// Wait waits until the streams that have come are over, or returns the error of ctx. It
// follows the last call: streams whose headers have not come, and those that come later,
// are refused. Without it Close would reset them, and no client could know that nothing
// of its call has run; and a host that is closed next would lose the last answers.
func (s *Server) Wait(ctx context.Context) error {
	s.gate.Shut()
	s.mu.Lock()
	for c := range s.open {
		if !c.headed.Load() {
			c.late.Store(true)
			_ = c.st.SetReadDeadline(wire.Past)
		}
	}
	s.mu.Unlock()
	return s.gate.Wait(ctx)
}

// Close cancels the calls that are under way, resets their streams and takes no
// others. It does not wait. It returns false if it was called before.
func (s *Server) Close() bool {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for c := range open {
		c.closed.Store(true) // what the method makes of it is not told
		c.cancel(call.ErrServerClosed)
	}
	for c := range open {
		go c.abort() // which may wait for a peer that reads nothing
	}
	return open != nil
}

// add reports false when the server is closed, or about to be.
func (s *Server) add(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil || s.gate.IsShut() {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *Server) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// serverConn is a server's side of one stream, which carries one call.
type serverConn struct {
	st     network.Stream
	server *Server
	tally  *tally.Peer
	wire.Conn
	header   wire.Header     // once it is read
	ctx      context.Context // ends when the caller has gone, or the server is closed
	cancel   context.CancelCauseFunc
	marked   bool        // arguments and replies of a stream end with a mark, not with the stream
	argsEnd  bool        // all arguments have been read
	sent     bool        // the answer has been written
	hasSlot  bool        // one of the peer's
	headed   atomic.Bool // the header has been read
	late     atomic.Bool // it had not when the server stopped waiting for it
	closed   atomic.Bool // the server was
	stopped  atomic.Bool // StopReading was called
	canceled atomic.Bool // Cancel was

	// Reading on after a unary argument begins when it was read and somebody
	// wants to know of the caller's going, with the context that is wanted.
	readAll, watching atomic.Bool
	watchers          sync.WaitGroup
	wanted            atomic.Pointer[context.Context]

	unread *unread // of a streaming call
}

// Links adds the streams to sum.
func (s *Server) Links(sum *tally.Links) {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, c := range all {
		sum.Add(c.st, false, linkOf(&c.Conn))
	}
}

func linkOf(c *wire.Conn) state.Link {
	in, out := c.Moved()
	return state.Link{UnderWay: 1, In: uint64(in), Out: uint64(out)}
}

// Peer is that of [call.Served].
func (c *serverConn) Peer() peer.ID { return c.st.Conn().RemotePeer() }

// Connection is that of [call.Served].
func (c *serverConn) Connection() network.Conn { return c.st.Conn() }

// Tally is that of [call.Served].
func (c *serverConn) Tally(t *tally.Call) {
	t.With(c.tally)
	t.On(&c.Conn)
}

// Serve is the handler of a stream, whose arguments and replies end with a mark or
// with the stream.
func (s *Server) Serve(st network.Stream, marked bool) {
	call.GrowStack()
	c := &serverConn{st: st, server: s, marked: marked, tally: s.tally.Peers.Get(st.Conn().RemotePeer())}
	defer s.tally.Peers.Put(c.tally)
	if err := st.Scope().SetService(call.ServiceName); err != nil {
		c.turnAway(err)
		return
	}
	c.Init(st, st.Scope(), s.limits.ProgressTimeout)
	c.Share(s.memory.OfStream(st))
	enters := s.gate.Enter()
	defer func() { // a method may end its goroutine
		c.hangUp()
		if c.hasSlot {
			s.places.Free(c.Peer())
		}
		if enters {
			s.remove(c)
			s.gate.Leave()
		}
	}()
	err := call.ErrServerClosed
	if enters {
		err = c.admit()
	}
	if err != nil {
		s.core.Refuse(c, &c.header, err)
	}
}

// turnAway refuses a stream for which libp2p has no room: by its reset, whose code says
// so, or by an answer where the transport does not carry codes.
func (c *serverConn) turnAway(err error) {
	if c.st.Conn().ConnState().Transport != "webtransport" {
		_ = c.st.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	c.Init(c.st, c.st.Scope(), c.server.limits.ProgressTimeout)
	defer c.hangUp()
	c.server.core.Refuse(c, &c.header, call.Fail(call.OfServer, codes.ResourceExhausted, "libp2p's resource manager refuses the stream: %w", err).
		Over(call.Libp2p).NotSent(true))
}

// admit takes the call's place and serves it; an error is still to be told to
// the caller.
func (c *serverConn) admit() (err error) {
	s := c.server
	if c.hasSlot = s.places.Take(c.Peer()); !c.hasSlot {
		return s.core.Full()
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	defer c.cancel(nil)
	if !s.add(c) {
		return call.ErrServerClosed
	}
	defer func() { c.unread.begin() }() // an interceptor may have refused it
	if c.header, err = c.readHeader(); err != nil {
		return err
	}
	c.headed.Store(true)
	return s.core.Serve(c.ctx, &c.header, c, c)
}

// readHeader reads the request's header within its time and size. What is
// refused is not echoed.
func (c *serverConn) readHeader() (wire.Header, error) {
	l := c.server.limits
	c.R.Watch(l.HeaderTimeout)
	b, err := c.R.Next(l.Header(), wire.PaceNone)
	inTime := c.R.Unwatch()
	switch {
	case err != nil && c.late.Load():
		return wire.Header{}, call.ErrServerClosed
	case !inTime:
		return wire.Header{}, call.BadHeader(codes.DeadlineExceeded, "the request's header took longer than %v", l.HeaderTimeout).Limited("Limits.HeaderTimeout")
	case err != nil:
		return wire.Header{}, l.HeaderFault(err)
	}
	return l.ParseHeader(b)
}

// Ends is that of [call.Stream].
func (c *serverConn) Ends(i *call.Items) (flow.Source, flow.Sink) {
	from, to := stream.NewServer(&c.Conn, i, c.marked, c, &c.canceled)
	return &from, &to
}

// Argument is that of [call.Served].
func (c *serverConn) Argument(ctx context.Context, l *call.Limits, keep bool) (codec.Message, error) {
	c.WaitUntil(ctx)
	b, kept, err := c.R.NextToKeep(l.Message(), wire.PaceAll, keep)
	switch {
	case errors.Is(err, account.ErrStopped) && ctx.Err() != nil:
		err = call.CallerGone("the argument", ctx.Err())
	case err == io.EOF:
		err = call.ErrNoArgument
	case err == msgpack.ErrInvalid && c.R.EndBuffered():
		err = call.ErrNilArgument
	case err != nil:
		cut := errors.Is(err, io.ErrUnexpectedEOF) && !c.st.Conn().IsClosed()
		if err = l.Fault(err, call.OfServer, "the argument"); cut {
			err = call.Fail(call.OfServer, codes.InvalidArgument, "the argument: %w", err)
		} else if !call.IsFault(err) {
			err = call.CallerGone("the argument", err)
		}
	}
	return codec.Message{B: b, Form: c.Form(), Limits: l.Message(), Kept: kept}, err
}

// Taken is that of [call.Served].
func (c *serverConn) Taken() {
	c.argsEnd = true
	c.R.Close() // before the method runs: its buffer may be large
	c.readAll.Store(true)
	if ctx := c.wanted.Load(); ctx != nil {
		c.watchUnary(*ctx)
	}
}

// Form is that of [call.Served].
func (c *serverConn) Form() codec.Form { return stream.FormOf(c.marked) }

// Buffer is that of [call.Served]: the replies of a stream may be waiting in it.
func (c *serverConn) Buffer() []byte { return c.W.B }

// OK is that of [call.Served].
func (c *serverConn) OK(named []byte) []byte { return named }

// Send is that of [call.Served].
func (c *serverConn) Send(head, body []byte) error {
	if c.closed.Load() {
		return call.ErrServerClosed
	}
	c.W.B = head
	if err := c.W.FlushWith(body, false); err != nil {
		return c.server.limits.Fault(err, call.OfServer, "the reply")
	}
	c.sent = true
	return nil
}

// Returns is that of [call.Served].
func (c *serverConn) Returns() bool { return c.marked }

// Header is that of [call.Stream].
func (c *serverConn) Header(response []byte, now bool) error {
	switch {
	case !c.marked:
		return nil
	case c.closed.Load():
		return call.ErrServerClosed
	}
	if c.W.B = append(c.W.B, response...); !now {
		return nil
	}
	return c.server.limits.Fault(c.W.Flush(), call.OfServer, "the header")
}

// Finish is that of [call.Stream].
func (c *serverConn) Finish(response []byte) error {
	if c.closed.Load() {
		return call.ErrServerClosed
	}
	if c.marked {
		c.W.B = append(append(c.W.B, response...), wire.StreamEnd)
	}
	err := c.W.Flush()
	c.sent = err == nil
	return err
}

// A caller that was answered before it had sent everything has this time to go
// by itself. What it still sends is thrown away, as much as it could send
// without leave: the first window of the muxers. A v0.6 client reads no answer
// before it has sent its argument.
const (
	lingerTime = 5 * time.Second
	lingerSize = 256 << 10
)

// hangUp ends the stream.
func (c *serverConn) hangUp() {
	defer c.Close()
	switch {
	case !c.sent:
		c.abort()
		return
	case c.argsEnd:
		if c.server.leaving.Load() {
			c.awaitEnd()
		}
		_ = c.st.Close()
		return
	}
	_ = c.st.CloseWrite()
	err := flow.ErrStopped
	if c.hasSlot { // or there would be no bound to how many linger
		_ = c.st.SetReadDeadline(time.Now().Add(lingerTime))
		err = c.R.Discard(lingerSize)
	}
	if c.st.Conn().ConnState().StreamMultiplexer != "" && err != io.EOF {
		// yamux does not tell a writer that nobody reads. The answer, and the
		// end of it, are on their way before the reset.
		_ = c.st.Reset()
		return
	}
	_ = c.st.Close() // QUIC tells it, and a reset could overtake the answer
}

// abort ends every wait of the conversation.
func (c *serverConn) abort() {
	c.StopWaiting()
	_ = c.st.SetWriteDeadline(wire.Past)
	_ = c.st.Reset()
}
