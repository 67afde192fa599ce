package rpc

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// remoteTransport carries a call to another peer: on a session, if it is unary
// and the peer has them, and else on a libp2p stream of its own.
type remoteTransport struct {
	client *Client
}

// clientConn is a client's side of one stream, which carries one call.
type clientConn struct {
	st     network.Stream
	client *Client
	call   *CallInfo
	ctx    context.Context // the call's
	wire.Conn
	failed atomic.Pointer[Error] // why the call was ended from outside
}

func (t *remoteTransport) carry(ctx context.Context, call *CallInfo) error {
	c := t.client
	if n := msgpack.StringMapSize(outgoing(ctx)); n > c.limits.MetadataSize {
		return clientError(CodeResourceExhausted, call.ID(),
			"metadata of %d bytes, and %d may be; Limits.MetadataSize sets it", n, c.limits.MetadataSize).over("Limits.MetadataSize")
	}
	var body encodedValue
	if call.Kind == Unary {
		var err error
		if body, err = c.encode(call); err != nil {
			return err
		}
		defer body.done()
	}
	err := errNoSession
	if call.Kind == Unary && !c.noSessions {
		var st network.Stream
		if st, err = c.sessions.call(ctx, call, &body); st != nil { // of another protocol
			err = t.carryOn(ctx, call, body, st)
		}
	}
	if err == errNoSession {
		err = t.attempt(ctx, call, body, c.extended, c.protocol)
	}
	if call.Kind == Unary && errors.Is(err, errNotServed) {
		// libp2p may remember what the peer served before it was restarted as
		// v0.6. It has not seen the request.
		err = t.attempt(ctx, call, body, c.protocol)
	}
	return err
}

// encode returns the encoded argument of a unary call, checked against the
// limits.
func (c *Client) encode(call *CallInfo) (body encodedValue, err error) {
	switch {
	case call.encoded != nil:
		body.head, err = call.encoded.bytes, call.encoded.err
	case isNil(call.Args):
		body.head = noArgument
	default:
		body, err = encode(call.Args, call.stats != nil)
	}
	if n := body.len(); err == nil && n > c.limits.MessageSize {
		err = clientError(CodeResourceExhausted, call.ID(),
			"the argument is %d bytes long, and %d may be; Limits.MessageSize of the client sets it", n, c.limits.MessageSize).over("Limits.MessageSize")
	} else if err != nil {
		err = clientError(CodeInvalidArgument, call.ID(), "the argument: %w", err)
	}
	if err != nil {
		body.done()
	}
	return body, err
}

// noArgument stands for an argument that is nil, for the server to say what
// the method takes. It is no msgpack value.
var noArgument = []byte{wire.StreamEnd}

// errNotServed: the peer turned the stream down when the request was on its
// way, because libp2p had remembered its protocols wrongly.
var errNotServed = errors.New("the peer does not serve the protocol")

func (t *remoteTransport) attempt(ctx context.Context, call *CallInfo, body encodedValue, protocols ...protocol.ID) error {
	st, err := t.client.newStream(ctx, call, protocols...)
	if err != nil {
		return err
	}
	return t.carryOn(ctx, call, body, st)
}

// carryOn makes the call on a stream.
func (t *remoteTransport) carryOn(ctx context.Context, call *CallInfo, body encodedValue, st network.Stream) error {
	c := t.client
	conn := &clientConn{st: st, client: c, call: call, ctx: ctx}
	if err := conn.open(ctx); err != nil {
		_ = st.Reset()
		return err
	}
	defer conn.done()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			conn.giveUp(CodeOf(ctx.Err()))
			if call.stream != nil {
				call.stream.in.halt()
			}
		})
		defer stop()
	}
	if call.Kind == Unary && isNil(call.Args) && !conn.marked() {
		_ = st.Reset() // v0.6 would make a zero value of it
		return clientError(CodeInvalidArgument, call.ID(), "the argument is %s; pass a value of the type that the method takes", describeArg(call.Args))
	}
	conn.W.B = wire.AppendHeader(conn.W.B, conn.header(ctx))
	var err error
	if call.Kind == Streaming {
		call.begun = true
		err = conn.stream()
	} else {
		err = conn.unary(body)
	}
	if err == nil {
		return nil
	}
	conn.abort()
	return conn.explain(ctx, ownDeadline(ctx, call, err))
}

func (c *clientConn) open(ctx context.Context) error {
	st, l := c.st, &c.client.limits
	if err := st.Scope().SetService(ServiceName); err != nil {
		return clientError(CodeResourceExhausted, c.call.ID(), "libp2p's resource manager refuses the stream: %w", err).over(limitOfLibp2p).notSent(true)
	}
	c.Init(st, st.Scope(), l.ProgressTimeout)
	c.Share(shareOf(c.client.memory, st))
	c.W.Own = true
	if !c.client.open.add(c) {
		c.Close()
		return c.client.closedError(c.call.ID()).notSent(true)
	}
	return nil
}

func (c *clientConn) done() {
	c.client.open.remove(c)
	c.Close()
}

// abort ends every wait of the call.
func (c *clientConn) abort() { c.giveUp(CodeOf(c.ctx.Err())) }

// giveUp is abort, and tells the server why, for its deadline and the
// caller's come at the same time. A write that waits for the connection rather
// than for the stream ends by the deadline, not by the reset.
func (c *clientConn) giveUp(why Code) {
	c.StopWaiting()
	_ = c.st.SetWriteDeadline(wire.Past)
	go func() { _ = c.st.ResetWithError(network.StreamErrorCode(why)) }()
}

// close ends the stream of a call that is over. The muxer may have to wait for
// a peer that reads nothing; the caller has its reply.
func (c *clientConn) close() {
	go func() {
		growStack()
		_ = c.st.Close()
	}()
}

// fail is abort, with the error that the call then has.
func (c *clientConn) fail(err *Error) {
	c.failed.CompareAndSwap(nil, err)
	c.abort()
}

// marked reports whether arguments and replies of a stream end with a mark.
func (c *clientConn) marked() bool { return c.st.Protocol() != c.client.protocol }

func (c *clientConn) header(ctx context.Context) *wire.Header {
	h := &wire.Header{Service: c.call.Service, Method: c.call.Method, Metadata: outgoing(ctx)}
	if c.marked() {
		h.Kind = wire.Kind(c.call.Kind)
	}
	if deadline, ok := ctx.Deadline(); ok {
		h.Timeout = max(time.Until(deadline), 1)
	}
	return h
}

// writeAhead is how much can be written without waiting for the server to
// read: the least window that the muxers begin with is larger.
const writeAhead = 64 << 10

// unary sends the argument and receives the reply, in the caller's goroutine.
func (c *clientConn) unary(body encodedValue) error {
	if c.call.stats != nil {
		c.call.stats.out(reflect.ValueOf(c.call.Args), body.head)
	}
	if body.len() <= writeAhead {
		// An error of writing is explained by what the server has sent, if it
		// has sent anything.
		werr := c.write(body)
		if isCallError(werr) {
			return werr
		}
		if err := c.receive(); err != nil {
			return err
		}
		c.close()
		return nil
	}
	written := make(chan error, 1)
	go func() {
		err := c.write(body)
		if isCallError(err) {
			c.abort() // the reader must not wait for an answer
		}
		written <- err
	}()
	err := c.receive()
	var werr error
	select {
	case werr = <-written:
	default: // the server did not want all of it
		c.abort()
		werr = <-written
	}
	switch {
	case err == nil:
		c.close()
	case isCallError(werr) && !isCallError(err):
		return werr
	}
	return err
}

// write sends the header and the argument. Where it is this side that fails
// the error is the call's; otherwise the server may have said why.
func (c *clientConn) write(body encodedValue) error {
	var err error
	if body.users != nil {
		c.W.B = append(c.W.B, body.head...)
		err = c.W.FlushWith(body.users, true)
	} else {
		err = c.W.FlushWith(body.head, false)
	}
	if err == nil {
		return nil
	}
	return limitError(err, c.call.ID(), ClientErr, "the argument", &c.client.limits)
}

// receive reads the response and decodes the reply: in this goroutine, so
// that nothing touches it when the call has returned.
func (c *clientConn) receive() error {
	call, l := c.call, &c.client.limits
	b, err := c.R.Next(responseLimits, wire.PaceValue)
	if err != nil {
		return limitError(err, call.ID(), ClientErr, "the response's header", l)
	}
	failure, err := readFailure(call.ID(), b)
	if err != nil {
		return err
	}
	b, kept, err := c.R.NextToKeep(l.message(), wire.PaceAll, wantsBytes(call.Reply))
	return c.client.setReply(call, message{b, c.R.Values(), kept}, err, failure)
}

// stream sends the arguments and receives the replies at once. Both have
// ended when it returns.
func (c *clientConn) stream() error {
	call, l := c.call, &c.client.limits
	closeSend := c.st.CloseWrite
	if c.marked() {
		closeSend = func() error {
			c.W.B = append(c.W.B, wire.StreamEnd)
			return c.W.Flush()
		}
	}
	to := &wireSink{w: &c.W, limits: l, id: call.ID(), stats: call.stats, kind: ClientErr, item: "argument", close: closeSend}
	h := &holding{account: &c.client.decoded, peer: call.Peer}
	defer h.release() // what has not been received is the caller's
	from := &wireSource{
		r: &c.R, charge: charge{of: h}, limits: l, marked: c.marked(), id: call.ID(), stats: call.stats, kind: ClientErr, item: "reply", responses: true,
		decodeError: func(b []byte, err error) *Error {
			return undecodable(call.ID(), b, reflect.PointerTo(call.stream.replies), err)
		},
	}
	sent := make(chan error, 1)
	go func() {
		err := pump(call.stream.in, to)
		if isCallError(err) {
			c.abort() // the reader must not wait for what will not come
		}
		sent <- err
	}()
	err := pump(from, call.stream.out)
	if err == nil && !c.marked() && c.st.Conn().IsClosed() {
		// The end of the connection may look like that of the stream, and v0.6
		// marks no end: what is not known to be whole is no success.
		err = io.ErrUnexpectedEOF
	}
	call.stream.in.halt()
	var serr error
	select {
	case serr = <-sent:
	default:
		c.abort() // the call ended before its arguments did
		serr = <-sent
		if err == nil {
			return nil // and well: what the sender met then is the abort
		}
	}
	switch {
	case isCallError(serr) && !isCallError(err):
		return serr
	case err == nil:
		c.close()
	}
	return err
}

// explain turns what the stream says into the error of the call.
func (c *clientConn) explain(ctx context.Context, err error) error {
	switch id := c.call.ID(); {
	case isCallError(err):
		return err
	case ctx.Err() != nil:
		return contextError(ctx, id)
	case c.failed.Load() != nil:
		return c.failed.Load()
	case isUnserved(err):
		return clientError(CodeUnimplemented, id, "peer %v: %w: %v", c.call.Peer, errNotServed, c.client.protocol).undialled(c.call.Peer)
	case isTurnedAway(err):
		return turnedAway(id, c.call.Peer, err)
	case errors.Is(err, errClosed), errors.Is(err, errStopped):
		return clientError(CodeFailedPrecondition, id, "%w", err)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
		fallthrough
	default:
		return clientError(CodeUnavailable, id, "peer %v ended the stream before the reply: %w", c.call.Peer, err).broke(c.call.Peer)
	}
}

// isTurnedAway reports whether the peer's libp2p, or its server, had no room for
// the stream, before it looked at it.
func isTurnedAway(err error) bool {
	var reset *network.StreamError
	return errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamResourceLimitExceeded
}

func turnedAway(id ServiceID, p peer.ID, err error) *Error {
	return clientError(CodeResourceExhausted, id, "peer %v takes no more streams: its libp2p resource manager refuses this one: %w", p, err).over(limitOfLibp2p).notSent(true)
}

// dialError is the error of a call for which no stream could be opened: its
// request has not left.
func dialError(ctx context.Context, h host.Host, call *CallInfo, err error) *Error {
	e := dialFailure(ctx, h, call, err)
	if errors.As(e, new(*LimitError)) {
		return e.notSent(true)
	}
	return e.undialled(call.Peer)
}

func dialFailure(ctx context.Context, h host.Host, call *CallInfo, err error) *Error {
	var unserved multistream.ErrNotSupported[protocol.ID]
	switch id := call.ID(); {
	case ctx.Err() != nil:
		e := contextError(ctx, id)
		if onlyLimited(ctx, h, call.Peer) {
			e.Message += "; " + limitedHint
		}
		return e
	case errors.As(err, &unserved):
		e := clientError(CodeUnimplemented, id, "peer %v does not serve the protocol %v", call.Peer, unserved.Protos)
		e.cause = err
		return e
	case errors.Is(err, network.ErrResourceLimitExceeded):
		return clientError(CodeResourceExhausted, id, "libp2p's resource manager refuses a stream to peer %v: %w", call.Peer, err).over(limitOfLibp2p)
	case onlyLimited(ctx, h, call.Peer):
		e := clientError(CodeUnavailable, id, "no stream to peer %v: %s (%v)", call.Peer, limitedHint, err)
		e.cause = network.ErrLimitedConn // err may be the end of a context, and not the caller's
		return e
	default:
		return clientError(CodeUnavailable, id, "no stream to peer %v: %w", call.Peer, err)
	}
}
