package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

var (
	errServerClosed = errors.New("the server was closed")
	errCallerGone   = fmt.Errorf("the caller is gone: %w", context.Canceled)
)

// past is a deadline that ends a read or a write at once.
var past = time.Unix(1, 0)

// serverConn is a server's side of one stream, which carries one call.
type serverConn struct {
	st      network.Stream
	server  *Server
	r       *wire.Reader
	w       *wire.Writer
	dog     *wire.Watchdog // over reading
	cancel  context.CancelCauseFunc
	marked  bool // streaming arguments end with a mark, not with the stream
	argsEnd bool // all arguments have been read
	told    bool // the reply or the error has been written
}

// serve is the handler of a stream.
func (s *Server) serve(st network.Stream, marked bool) {
	if err := st.Scope().SetService(ServiceName); err != nil {
		_ = st.ResetWithError(network.StreamResourceLimitExceeded)
		return
	}
	c := &serverConn{st: st, server: s, marked: marked}
	c.dog = wire.NewWatchdog(s.limits.ProgressTimeout, func() { _ = st.SetReadDeadline(past) })
	c.r = wire.NewReader(st, st.Scope(), c.dog)
	c.w = wire.NewWriter(st, st.Scope(), wire.NewWatchdog(s.limits.ProgressTimeout, func() { _ = st.SetWriteDeadline(past) }))

	call := &CallInfo{Peer: st.Conn().RemotePeer(), conn: c}
	if err := c.admit(call); err != nil {
		_ = c.respond(call, err)
	}
	c.hangUp()
}

// admit takes the call's slots and serves it; an error is still to be told to
// the caller.
func (c *serverConn) admit(call *CallInfo) error {
	s := c.server
	if !s.gate.enter() {
		return s.closedError(call.ID())
	}
	defer s.gate.leave()
	if !s.slots.takePeer(call.Peer) {
		return serverError(CodeResourceExhausted, call.ID(),
			"the peer has %d calls under way, as many as one may; Limits.CallsPerPeer sets it", s.slots.maxPerPeer)
	}
	defer s.slots.freePeer(call.Peer)
	h, err := c.readHeader()
	if err != nil {
		return err
	}
	call.Service, call.Method, call.Kind = h.Service, h.Method, Kind(h.Kind)

	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	c.cancel = cancel
	stop := context.AfterFunc(s.ctx, func() { _ = c.st.Reset() })
	defer stop()
	if h.Timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, h.Timeout)
		defer done()
	}
	sc := &serverContext{Context: ctx, sender: call.Peer, metadata: h.Metadata}
	sc.self = sc
	// Known or not is told after authorization; the stats want the kind now.
	if m, err := s.lookup(call.ID()); err == nil && call.Kind == 0 {
		call.Kind = m.kind
	}
	_ = s.remote(sc, call) // has told the caller
	return nil
}

// readHeader reads the request's header within its time and size. What is
// refused is not echoed.
func (c *serverConn) readHeader() (wire.Header, error) {
	l := &c.server.limits
	c.dog.ArmFor(l.HeaderTimeout)
	b, err := c.r.Next(l.header(), wire.PaceNone)
	inTime := c.dog.Disarm()
	fail := func(code Code, format string, args ...any) (wire.Header, error) {
		return wire.Header{}, &Error{Code: code, kind: ServerErr, Message: "rpc: " + fmt.Sprintf(format, args...)}
	}
	switch {
	case !inTime:
		return fail(CodeDeadlineExceeded, "the request's header took longer than %v; Limits.HeaderTimeout sets it", l.HeaderTimeout)
	case err != nil:
		return fail(CodeInvalidArgument, "bad request header: %v; a header has at most %d bytes of names and %d of metadata (Limits.MetadataSize)",
			err, MaxServiceIDLength, l.MetadataSize)
	}
	h, err := wire.ParseHeader(b)
	switch n := len(h.Service) + 1 + len(h.Method); {
	case err != nil:
		return fail(CodeInvalidArgument, "bad request header: %v", err)
	case n > MaxServiceIDLength:
		return fail(CodeInvalidArgument, "the method's name is %d bytes long, and %d may be", n, MaxServiceIDLength)
	case len(h.Metadata) > 0 && msgpack.StringMapSize(h.Metadata) > l.MetadataSize:
		return fail(CodeResourceExhausted, "metadata of %d bytes, and %d may be; Limits.MetadataSize sets it", msgpack.StringMapSize(h.Metadata), l.MetadataSize)
	}
	return h, nil
}

// receive reads a unary call's argument, or prepares a streaming call's ends.
func (c *serverConn) receive(call *CallInfo) error {
	l := &c.server.limits
	if call.Kind == Streaming {
		call.in = &wireSource{
			r: c.r, limits: l, typ: call.method.arg, marked: c.marked, id: call.ID(), stats: call.stats,
			item: "argument", kind: ServerErr, stop: c.stopReading,
			decodeError: func(b []byte, err error) error { return c.argumentError(call.method, b, err) },
		}
		call.out = &wireSink{w: c.w, prefix: call.method.ok, limits: l, id: call.ID(), stats: call.stats, item: "reply", kind: ServerErr}
		return nil
	}
	b, err := c.r.Next(l.message(), wire.PaceAll)
	if err == io.EOF {
		return serverError(CodeInvalidArgument, call.ID(),
			"there is no argument: the method is unary; call it with Call, Go or MultiCall")
	}
	if err != nil {
		return limitError(err, call.ID(), ServerErr, "the argument", l)
	}
	arg := newItem(call.method.arg)
	if err := decode(b, arg.ptr.Interface()); err != nil {
		return c.argumentError(call.method, b, err)
	}
	c.argsEnd = true
	call.Args = arg.value.Interface()
	call.stats.in(arg.value, b)
	c.r.Close() // before the method runs: its buffer may be large
	go c.watchUnary()
	return nil
}

func (c *serverConn) argumentError(m *method, b []byte, err error) error {
	if obstacle := decodable(m.arg); obstacle != nil {
		return serverError(CodeInvalidArgument, m.id, "the argument's %w", obstacle)
	}
	return fmt.Errorf("%w (%v)", m.mismatch(msgpack.Describe(b)), err)
}

// maxStray is how much a caller may send after what the call needs.
const maxStray = 4 << 10

// watchUnary reads on after a unary argument: the end of the stream says that
// the caller has gone, as it does for v0.6.
func (c *serverConn) watchUnary() {
	buf := make([]byte, 64)
	for stray := 0; stray <= maxStray; {
		n, err := c.st.Read(buf)
		if err != nil {
			break
		}
		stray += n
	}
	c.cancel(errCallerGone)
}

// watchStream waits, when all arguments have been read, for a sign that the
// caller has gone, until the method has returned.
func (c *serverConn) watchStream(returned <-chan struct{}) error {
	c.argsEnd = true
	if c.marked {
		// The caller's side stays open to the end of the call.
		_ = c.r.Discard(maxStray)
		if isClosed(returned) { // it was stopReading
			return nil
		}
		return errCallerGone
	}
	// A v0.6 client has closed its side, and the muxers do not tell us of
	// anything after that but the connection's end.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-returned:
			return nil
		case <-tick.C:
			if c.st.Conn().IsClosed() {
				return errCallerGone
			}
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// stopReading ends a read under way, and nothing that the caller can see.
func (c *serverConn) stopReading() { _ = c.st.SetReadDeadline(past) }

// responding sends what the call ends with.
func (s *Server) responding(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		err := next(ctx, call)
		if failed := call.conn.respond(call, err); failed != nil && err == nil {
			err = failed
		}
		return err
	}
}

// respond sends the reply and the error of a call; it is the last that is
// written.
func (c *serverConn) respond(call *CallInfo, err error) error {
	if err == nil && call.Kind == Streaming {
		err = c.w.Flush()
		c.told = err == nil
		return err
	}
	start := len(c.w.B) // replies of a stream may be waiting
	if err == nil {
		c.w.B = append(c.w.B, call.method.ok...)
		if c.w.B, err = c.appendReply(c.w.B, call); err != nil {
			c.w.B, call.Reply = c.w.B[:start], nil
		}
	}
	told := err
	if err != nil {
		r := toWire(err)
		r.Service, r.Method = call.Service, call.Method
		c.w.B = wire.AppendResponse(c.w.B, &r)
		head := len(c.w.B)
		var failed error
		if call.Kind == Unary && call.Reply != nil {
			c.w.B, failed = c.appendReply(c.w.B, call) // it arrives beside its error
		}
		if len(c.w.B) == head || failed != nil {
			c.w.B = append(c.w.B[:head], msgpack.Nil)
		}
	}
	if err := c.w.Flush(); err != nil {
		return limitError(err, call.ID(), ServerErr, "the reply", &c.server.limits)
	}
	c.told = true
	return told
}

// appendReply appends the encoding of a unary call's reply.
func (c *serverConn) appendReply(b []byte, call *CallInfo) ([]byte, error) {
	start := len(b)
	b, err := appendEncoded(b, call.Reply)
	if err != nil {
		return b, serverError(CodeInternal, call.ID(), "the reply: %w", err)
	}
	if n, most := len(b)-start, c.server.limits.MessageSize; n > most {
		return b, serverError(CodeResourceExhausted, call.ID(),
			"the reply is %d bytes long, and %d may be; Limits.MessageSize of the server sets it", n, most)
	}
	if call.stats != nil {
		call.stats.out(reflect.ValueOf(call.Reply), b[start:])
	}
	return b, nil
}

// lingerTime is how long a caller that was refused may take to go.
const lingerTime = 5 * time.Second

// hangUp ends the stream. A caller that is still sending must learn the
// answer all the same: it is not cut off before it has had time to read it.
func (c *serverConn) hangUp() {
	defer c.w.Close()
	defer c.r.Close()
	switch {
	case !c.told:
		_ = c.st.Reset()
		return
	case c.argsEnd:
		_ = c.st.Close()
		return
	}
	_ = c.st.CloseWrite()
	_ = c.st.SetReadDeadline(time.Now().Add(lingerTime))
	err := c.r.Discard(maxStray)
	if c.st.Conn().ConnState().StreamMultiplexer != "" && err != io.EOF {
		// yamux does not tell a writer that nobody reads. The answer, and the
		// end of it, are on their way before the reset.
		_ = c.st.Reset()
		return
	}
	_ = c.st.Close() // QUIC tells it, and a reset could overtake the answer
}
