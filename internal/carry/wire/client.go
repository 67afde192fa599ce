// Package wire carries each call on a libp2p stream of its own: v0.6's protocol,
// and the one that says more.
package wire

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/live"
	"github.com/libp2p/go-libp2p-gorpc/internal/stream"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// ClientConfig is what the carrier has of its client.
type ClientConfig struct {
	Host    host.Host
	Plain   protocol.ID // v0.6's, on which nothing but the stream's end ends a stream
	Closed  context.Context
	Limits  *call.Limits
	Decoded *account.Decoded
	Memory  *account.Peers
	Tally   *tally.Side
	Protect *call.Protector
	Monitor *live.Monitor
}

// Client carries the calls of a client. Its methods are safe for concurrent use.
type Client struct {
	ClientConfig
	replies call.Replies
	open    openConns
}

// NewClient returns a carrier, which Close ends.
func NewClient(c ClientConfig) *Client {
	return &Client{ClientConfig: c, replies: call.Replies{Limits: c.Limits, Decoded: c.Decoded}}
}

// Close ends the calls that are under way, and all later ones. Closed has ended.
func (c *Client) Close() { c.open.close() }

// Links adds the streams to sum.
func (c *Client) Links(sum *tally.Links) {
	for _, conn := range c.open.all() {
		sum.Add(conn.st, false, linkOf(&conn.Conn))
	}
}

// clientConn is a client's side of one stream, which carries one call.
type clientConn struct {
	st     network.Stream
	client *Client
	call   *call.Call
	ctx    context.Context // the call's
	tally  *tally.Peer
	wire.Conn
	failed atomic.Pointer[call.Fault] // why the call was ended from outside
}

// errNotServed: the peer turned the stream down when the request was on its
// way, because libp2p had remembered its protocols wrongly.
var errNotServed = errors.New("the peer does not serve the protocol")

// NotServed reports whether the peer has not seen the request, because it does not
// serve the protocol that libp2p remembered.
func NotServed(err error) bool { return errors.Is(err, errNotServed) }

// Carry makes the call on a stream, which it ends.
func (c *Client) Carry(ctx context.Context, st network.Stream, k *call.Call) error {
	k.Conn = st.Conn()
	conn := &clientConn{st: st, client: c, call: k, ctx: ctx}
	if err := conn.open(); err != nil {
		_ = st.Reset()
		return err
	}
	k.Live.On(&conn.Conn)
	defer conn.done()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			conn.giveUp(call.CodeOfContext(ctx.Err()))
			if k.Transfer != nil {
				k.In.Halt()
			}
		})
		defer stop()
	}
	if k.NoArg && !conn.marked() {
		_ = st.Reset() // v0.6 would make a zero value of it
		return call.ErrNilArgument
	}
	if k.Kind == wire.KindUnary && !conn.marked() {
		k.Body.ToPlain()
	}
	h := k.Header(ctx)
	if !conn.marked() {
		h.Kind, h.Begun = wire.KindUnknown, false
	}
	conn.W.B = wire.AppendHeader(conn.W.B, &h)
	var err error
	if k.Kind == wire.KindStreaming {
		k.Begun = true
		err = conn.stream()
	} else {
		err = conn.unary()
	}
	if err == nil {
		return nil
	}
	conn.Abort()
	return conn.explain(err)
}

func (c *clientConn) open() error {
	st := c.st
	if err := st.Scope().SetService(call.ServiceName); err != nil {
		return call.NoStream(err)
	}
	c.Init(st, st.Scope(), c.client.Limits.ProgressTimeout)
	c.Share(c.client.Memory.OfStream(st))
	c.W.Own = true
	c.tally = c.client.Tally.Peers.Get(c.call.Peer) // and so the peer is listed
	if !c.client.open.add(c) {
		c.client.Tally.Peers.Put(c.tally)
		c.Close()
		return call.Closed().NotSent(true)
	}
	c.client.Protect.Protect(c.call.Peer, true)
	c.client.Monitor.Watch(st.Conn(), c)
	return nil
}

func (c *clientConn) done() {
	c.client.open.remove(c)
	c.client.Tally.Peers.Put(c.tally)
	c.client.Monitor.Unwatch(c.st.Conn(), c)
	c.client.Protect.Protect(c.call.Peer, false)
	c.Close()
}

// Abort ends every wait of the call.
func (c *clientConn) Abort() { c.giveUp(call.CodeOfContext(c.ctx.Err())) }

// giveUp is abort, and tells the server why, for its deadline and the
// caller's come at the same time. A write that waits for the connection rather
// than for the stream ends by the deadline, not by the reset.
func (c *clientConn) giveUp(why codes.Code) {
	c.StopWaiting()
	_ = c.st.SetWriteDeadline(wire.Past)
	go func() { _ = c.st.ResetWithError(network.StreamErrorCode(why)) }()
}

// close ends the stream of a call that is over. The muxer may have to wait for
// a peer that reads nothing; the caller has its reply.
func (c *clientConn) close() {
	go func() {
		call.GrowStack()
		_ = c.st.Close()
	}()
}

// Silent is that of [live.User].
func (c *clientConn) Silent() { c.failed.CompareAndSwap(nil, c.client.Limits.Silent(c.call.Peer)) }

// fail is Abort, with the fault that the call then has.
func (c *clientConn) fail(f *call.Fault) {
	c.failed.CompareAndSwap(nil, f)
	c.Abort()
}

// marked reports whether arguments and replies of a stream end with a mark.
func (c *clientConn) marked() bool { return c.st.Protocol() != c.client.Plain }

// form is how values are written.
func (c *clientConn) form() codec.Form { return stream.FormOf(c.marked()) }

// writeAhead is how much can be written without waiting for the server to
// read: the least that the transports take at first is larger. WebRTC takes 32 KiB, and
// learns only by reading that the stream was refused.
const writeAhead = 16 << 10

// unary sends the argument and receives the reply, in the caller's goroutine.
func (c *clientConn) unary() error {
	c.call.Sent()
	if c.call.Body.Len() <= writeAhead {
		// An error of writing is explained by what the server has sent, if it
		// has sent anything.
		werr := c.write()
		if call.IsFault(werr) {
			return werr
		}
		if err := c.receive(); err != nil {
			return err
		}
		c.close()
		return nil
	}
	written := make(chan error, 1)
	go call.Outcome(call.OfClient, c.write, func(err error) {
		if call.IsFault(err) {
			c.Abort() // the reader must not wait for an answer
		}
		written <- err
	})
	err := c.receive()
	var werr error
	select {
	case werr = <-written:
	default: // the server did not want all of it
		c.Abort()
		werr = <-written
	}
	switch {
	case err == nil:
		c.close()
	case call.IsFault(werr) && !call.IsFault(err):
		return werr
	}
	return err
}

// write sends the header and the argument. Where it is this side that fails
// the error is a fault; otherwise the server may have said why.
func (c *clientConn) write() (err error) {
	if body := c.call.Body; body.User != nil {
		c.W.B = append(c.W.B, body.Head...)
		err = c.W.FlushWith(body.User, true)
	} else {
		err = c.W.FlushWith(body.Head, false)
	}
	if err == nil {
		return nil
	}
	return c.client.Limits.Fault(err, call.OfClient, "the argument")
}

// receive reads the response and decodes the reply: in this goroutine, so
// that nothing touches it when the call has returned.
func (c *clientConn) receive() error {
	l := c.client.Limits
	b, err := c.R.Next(l.Response(), wire.PaceValue)
	if err != nil {
		return l.Fault(err, call.OfClient, "the response's header")
	}
	_, refusal, err := c.call.ReadResponse(b, l)
	if err != nil {
		return err
	}
	b, kept, err := c.R.NextToKeep(l.Message(), wire.PaceAll, codec.WantsBytes(c.call.Reply))
	return c.client.replies.Store(c.call, codec.Message{B: b, Form: c.form(), Limits: l.Message(), Kept: kept}, err, refusal)
}

// stream sends the arguments and receives the replies at once. Both have
// ended when it returns.
func (c *clientConn) stream() error {
	var x stream.Client
	x.Init(c.call, c, &c.Conn, c.client.Limits, c.client.Decoded, c.marked())
	if !c.marked() {
		x.To.Close = c.st.CloseWrite
	}
	left, err := x.Run()
	received, sent := c.Moved()
	c.call.Moved = received + sent
	if err == nil && !left {
		c.close()
	}
	return err
}

// Whole is that of [stream.Carrier]. The end of the connection may look like that of the
// stream, and v0.6 marks no end: what is not known to be whole is no success.
func (c *clientConn) Whole() error {
	if !c.marked() && c.st.Conn().IsClosed() {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// explain turns what the stream says into the error of the call.
func (c *clientConn) explain(err error) error {
	switch p := c.call.Peer; {
	case call.IsFault(err):
		return err
	case call.HasEnded(c.ctx):
		return call.Ended(c.ctx)
	case c.failed.Load() != nil:
		return c.failed.Load()
	case call.IsUnserved(err):
		return call.Fail(call.OfClient, codes.Unimplemented, "peer %v: %w: %v", p, errNotServed, c.client.Plain).Named().Of(call.Dial).NotSent(true)
	case call.IsTurnedAway(err):
		return call.TurnedAway(p, err)
	case errors.Is(err, flow.ErrClosed), errors.Is(err, flow.ErrStopped):
		return call.Fail(call.OfClient, codes.FailedPrecondition, "%w", err)
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
		fallthrough
	default:
		return call.Broken(c.st.Conn(), "peer %v ended the stream before the reply: %w", p, err).Named()
	}
}
