package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

var (
	errServerClosed = errors.New("the server was closed")
	errCallerGone   = fmt.Errorf("the caller is gone: %w", context.Canceled)
)

// serverConn is a server's side of one stream, which carries one call.
type serverConn struct {
	st     network.Stream
	server *Server
	wire.Conn
	ctx     context.Context // ends with the deadline or by cancel
	cancel  context.CancelCauseFunc
	methods serverContext
	holds   holding
	marked  bool        // arguments and replies of a stream end with a mark, not with the stream
	argsEnd bool        // all arguments have been read
	told    bool        // the reply or the error has been written
	hasSlot bool        // one of the peer's
	closed  atomic.Bool // the server was
	stopped atomic.Bool // stopReading was called

	// Reading on after a unary argument begins when it was read and somebody
	// wants to know of the caller's going.
	readAll, wanted, watching atomic.Bool

	unread *unread // of a streaming call
}

func (c *serverConn) context() *serverContext { return &c.methods }

func (c *serverConn) holding() *holding { return &c.holds }

func (c *serverConn) caller() peer.ID { return c.st.Conn().RemotePeer() }

// serve is the handler of a stream.
func (s *Server) serve(st network.Stream, marked bool) {
	growStack()
	if err := st.Scope().SetService(ServiceName); err != nil {
		_ = st.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	c := &serverConn{st: st, server: s, marked: marked, holds: holding{account: &s.decoded, peer: st.Conn().RemotePeer()}}
	c.Init(st, st.Scope(), s.limits.ProgressTimeout)
	c.Share(shareOf(s.memory, st))
	call := &CallInfo{Peer: st.Conn().RemotePeer(), conn: c, remote: c}
	defer func() { // a method may end its goroutine
		c.hangUp()
		if c.hasSlot {
			s.slots.freePeer(call.Peer)
		}
	}()
	if err := c.admit(call); err != nil {
		_ = c.respond(call, err)
	}
}

// admit takes the call's slots and serves it; an error is still to be told to
// the caller.
func (c *serverConn) admit(call *CallInfo) error {
	s := c.server
	if c.hasSlot = s.slots.takePeer(call.Peer); !c.hasSlot {
		return s.noSlot()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	c.cancel = cancel
	if !s.conns.add(c) {
		return s.closedError(call.ID())
	}
	defer s.conns.remove(c)
	defer func() { c.unread.begin() }() // an interceptor may have refused it
	h, err := c.readHeader()
	if err != nil {
		return err
	}
	return s.dispatch(ctx, call, &h)
}

// dispatch serves a remote call whose header has been read. What it returns is
// still to be told to the caller.
func (s *Server) dispatch(ctx context.Context, call *CallInfo, h *wire.Header) error {
	call.Service, call.Method, call.Kind = h.Service, h.Method, Kind(h.Kind)
	if !s.gate.enter() { // only now is it a call that Shutdown waits for
		return s.closedError(call.ID())
	}
	defer s.gate.leave()
	if h.Timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, h.Timeout)
		defer done()
	}
	if call.conn != nil {
		call.conn.ctx = ctx
	}
	sc := call.remote.context()
	*sc = serverContext{Context: ctx, metadata: h.Metadata, server: s, remote: call.remote}
	if call.method = s.lookup(h.Service, h.Method); call.method != nil && call.Kind == 0 {
		call.Kind = call.method.kind // a v0.6 client does not say
	}
	if call.conn != nil && call.Kind == Streaming {
		call.conn.unread = &unread{begun: make(chan struct{})}
	}
	_ = s.remote(sc, call) // has told the caller
	return nil
}

func (s *Server) noSlot() error {
	return serverError(CodeResourceExhausted, ServiceID{},
		"the peer has %d calls under way, as many as one may; Limits.CallsPerPeer sets it", s.slots.maxPerPeer).over("Limits.CallsPerPeer").notSent(true)
}

// readHeader reads the request's header within its time and size. What is
// refused is not echoed.
func (c *serverConn) readHeader() (wire.Header, error) {
	l := &c.server.limits
	c.R.Watch(l.HeaderTimeout)
	b, err := c.R.Next(l.header(), wire.PaceNone)
	inTime := c.R.Unwatch()
	switch {
	case !inTime:
		return wire.Header{}, badHeader(CodeDeadlineExceeded, "the request's header took longer than %v; Limits.HeaderTimeout sets it", l.HeaderTimeout).over("Limits.HeaderTimeout")
	case err != nil:
		return wire.Header{}, l.headerError(err)
	}
	return l.parseHeader(b)
}

func badHeader(code Code, format string, args ...any) *Error {
	return &Error{Code: code, kind: ServerErr, Message: "rpc: " + fmt.Sprintf(format, args...)}
}

// headerError is the error of a header that is none, or too large.
func (l *Limits) headerError(err error) error {
	if errors.As(err, new(*msgpack.LimitError)) {
		return badHeader(CodeResourceExhausted, "bad request header: %v; a header has at most %d bytes of names and %d of metadata; Limits.MetadataSize sets it",
			err, MaxServiceIDLength, l.MetadataSize).over("Limits.MetadataSize")
	}
	return badHeader(CodeInvalidArgument, "bad request header: %v", err)
}

// parseHeader reads a request's header. What is refused is not echoed.
func (l *Limits) parseHeader(b []byte) (h wire.Header, err error) {
	h, err = wire.ParseHeader(b)
	switch n := len(h.Service) + 1 + len(h.Method); {
	case err != nil:
		return wire.Header{}, l.headerError(err)
	case n > MaxServiceIDLength:
		return wire.Header{}, badHeader(CodeInvalidArgument, "the method's name is %d bytes long, and %d may be", n, MaxServiceIDLength)
	case len(h.Metadata) > 0 && msgpack.StringMapSize(h.Metadata) > l.MetadataSize:
		return wire.Header{}, badHeader(CodeResourceExhausted, "metadata of %d bytes, and %d may be; Limits.MetadataSize sets it",
			msgpack.StringMapSize(h.Metadata), l.MetadataSize).over("Limits.MetadataSize")
	}
	return h, nil
}

// receive reads a unary call's argument, or prepares a streaming call's ends.
func (c *serverConn) receive(_ context.Context, call *CallInfo) error {
	l := &c.server.limits
	if call.Kind == Streaming {
		in := &wireSource{
			r: &c.R, charge: charge{of: &c.holds}, limits: l, marked: c.marked, id: call.ID(), stats: call.stats,
			item: "argument", kind: ServerErr, stop: c.stopReading,
			decodeError: func(b []byte, err error) *Error { return argumentError(call.method, b, err) },
		}
		out := &wireSink{
			w: &c.W, prefix: call.method.ok, limits: l, id: call.ID(), stats: call.stats, item: "reply", kind: ServerErr,
		}
		call.stream = &streamEnds{in: in, out: out}
		return nil
	}
	b, kept, err := c.R.NextToKeep(l.message(), wire.PaceAll, call.method.arg == bytesType)
	if err == io.EOF {
		return serverError(CodeInvalidArgument, call.ID(),
			"there is no argument: the method is unary"+useCall)
	}
	if err == msgpack.ErrInvalid && c.R.EndBuffered() {
		return call.method.mismatch("nil") // noArgument
	}
	if err := call.setArgument(message{b, c.R.Values(), kept}, err, l); err != nil {
		return err
	}
	c.argsEnd = true
	c.R.Close() // before the method runs: its buffer may be large
	c.readAll.Store(true)
	if c.wanted.Load() {
		c.watchUnary()
	}
	return nil
}

// setArgument decodes a unary call's argument; or err came in place of it.
func (call *CallInfo) setArgument(m message, err error, l *Limits) error {
	if err != nil {
		if err = limitError(err, call.ID(), ServerErr, "the argument", l); !isCallError(err) {
			err = serverError(CodeInvalidArgument, call.ID(), "the argument: %w", err)
		}
		return err
	}
	arg := newItem(call.method.arg)
	if _, err := decode(m, arg.ptr, l, call.remote.holding()); err != nil {
		e, full := argumentError(call.method, m.b, err), new(accountError)
		return e.notSent(errors.As(err, &full) && full.passes())
	}
	call.Args = call.method.boxed(arg)
	call.stats.in(arg.value, m.b)
	return nil
}

func argumentError(m *method, b []byte, err error) *Error {
	if errors.Is(err, errExpands) {
		return serverError(CodeResourceExhausted, m.id, "the argument: %w", err).over("Limits.MessageSize")
	}
	if errors.As(err, new(*accountError)) {
		return serverError(CodeResourceExhausted, m.id, "the argument: %w", err).over("Limits.DecodedPerPeer")
	}
	if obstacle := typeInfoOf(m.arg).decode; obstacle != nil {
		return serverError(CodeInvalidArgument, m.id, "the argument's %w", obstacle)
	}
	return m.mismatch(msgpack.Describe(b)).because(err)
}

// responding sends what the call ends with, unless that is done.
func (s *Server) responding(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		err := next(ctx, call)
		if call.conn != nil && call.conn.told {
			return err
		}
		if failed := call.remote.respond(call, err); failed != nil && err == nil {
			err = failed
		}
		return err
	}
}

// respond sends the reply and the error of a call; it is the last that is
// written.
func (c *serverConn) respond(call *CallInfo, err error) error {
	if c.closed.Load() {
		return errServerClosed
	}
	if err == nil && call.Kind == Streaming {
		if c.marked {
			c.W.B = append(c.W.B, wire.StreamEnd)
		}
		err = c.W.Flush()
		c.told = err == nil
		return err
	}
	var users []byte
	hasReply := call.Reply != nil
	c.W.B, users, err = c.server.appendResponse(c.W.B, call, err)
	told := err
	if err := c.W.FlushWith(users, false); err != nil {
		err = limitError(err, call.ID(), ServerErr, "the reply", &c.server.limits)
		if hasReply && isCallError(err) { // nothing was written: say why
			call.Reply = nil
			return c.respond(call, cmp.Or(told, err))
		}
		return err
	}
	c.told = true
	return told
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
	case !c.told:
		c.abort()
		return
	case c.argsEnd:
		_ = c.st.Close()
		return
	}
	_ = c.st.CloseWrite()
	err := errStopped
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
