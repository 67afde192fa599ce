package rpc

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// Client calls the methods of servers, by peer ID. One client serves a whole
// program; all its methods are safe for concurrent use.
//
// A call whose destination is empty or the host's own ID, or of a client
// whose host is nil, is local: it goes to the server that the client was made
// with, directly. Nothing is encoded, the method gets the argument itself, and
// authorization is not asked. Otherwise a call behaves the same.
//
// Every call goes one way: its options and its deadline are settled, and for
// each attempt, of which there is one unless [CallRetry] says otherwise, the
// stats handler and the interceptors see it, and a transport carries it.
type Client struct {
	host     host.Host
	protocol protocol.ID
	extended protocol.ID
	id       peer.ID
	server   *Server

	stats        stats.Handler
	interceptors []Interceptor
	watched      bool // somebody may keep a CallInfo
	limits       Limits
	decoded      decodeAccount
	callOptions  []CallOption
	options      *callConfig // what they say; nil without
	multiBuffer  int
	multiStall   time.Duration

	handler Handler
	spare   sync.Pool // local calls; the client's own, as a channel is of the synctest bubble it was made in
	local   transport // nil without a server
	remote  transport // nil without a host

	closed     atomic.Bool
	open       openConns
	noSessions bool
	sessions   clientSessions
	memory     *account.Peers
}

// ClientOption configures a [Client] as it is made.
type ClientOption func(*Client)

// WithClientLimits sets the limits of a client; see [Limits] for the defaults.
func WithClientLimits(l Limits) ClientOption {
	return func(c *Client) { c.limits = l }
}

// WithCallTimeout bounds the unary calls whose context has no deadline: after
// d they fail as if it had been their deadline. Default 0: no bound, as in
// v0.6. Streaming calls are not bounded by it. It is WithCallOptions with
// [CallTimeout].
func WithCallTimeout(d time.Duration) ClientOption { return WithCallOptions(CallTimeout(d)) }

// WithClientSessions says whether a client carries its unary calls of one peer
// on one stream, where the peer's server does too; see docs/session.md. Default
// true. Without, every call opens a stream of its own, as in v0.6.
func WithClientSessions(on bool) ClientOption {
	return func(c *Client) { c.noSessions = !on }
}

// NewClient returns a client that calls the peers of h that serve protocol p.
// It has no server for local calls: those fail.
func NewClient(h host.Host, p protocol.ID, opts ...ClientOption) *Client {
	return NewClientWithServer(h, p, nil, opts...)
}

// NewClientWithServer returns a client that calls the peers of h that serve
// protocol p, and s for local calls. With a nil host every call is local.
func NewClientWithServer(h host.Host, p protocol.ID, s *Server, opts ...ClientOption) *Client {
	c := &Client{host: h, protocol: p, extended: extended(p), server: s}
	for _, opt := range opts {
		opt(c)
	}
	c.limits = c.limits.withDefaults()
	c.decoded.init(&c.limits)
	c.memory = account.NewPeers(c.limits.MessageSize)
	if len(c.callOptions) > 0 {
		c.options = new(callConfig)
		c.options.applyDefaults(c.callOptions, true)
	}
	c.open.init(c)
	c.sessions.init(c)
	if h != nil {
		c.id = h.ID()
		c.remote = &remoteTransport{client: c}
	}
	if s != nil {
		c.local = localTransport{s}
	}
	c.watched = len(c.interceptors) > 0 || c.stats != nil
	c.handler = chain(c.carried, c.interceptors...)
	if len(c.interceptors) > 0 {
		c.handler = c.recovered(c.handler)
	}
	c.handler = chain(c.handler, observed(c.stats, slog.Error))
	return c
}

// ID returns the ID of the client's host, empty without one.
func (c *Client) ID() peer.ID { return c.id }

// Call calls svc.method on dest with args and waits for the reply, which it
// stores where reply, a pointer, points to. It is [Client.CallContext] with a
// background context.
func (c *Client) Call(dest peer.ID, svc, method string, args, reply any) error {
	return c.CallContext(context.Background(), dest, svc, method, args, reply)
}

// CallContext calls svc.method on dest with args, a value of the method's
// type or a pointer to one, and waits for the reply, which it stores where
// reply points to. The reply is there beside a method's error too. When ctx
// ends, CallContext returns at once and the method's context is cancelled; the
// reply is not written to after the return. An answer replaces what reply points
// to, by a zero value if it holds no reply; without an answer, or with one that
// does not decode, that stays as it was.
//
// The error is the method's own, the context's, or an [*Error] of the library's,
// which tells by [IsServerError], [IsClientError], [IsAuthorizationError] and
// [CodeOf] what failed. The context's has its text and wraps an [*Error] that says
// more. It panics if reply is no pointer or nil.
func (c *Client) CallContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any) error {
	checkReply(ServiceID{svc, method}, reply)
	return c.call(ctx, dest, svc, method, args, reply)
}

// Go is [Client.GoContext] with a background context.
func (c *Client) Go(dest peer.ID, svc, method string, args, reply any, done chan *Call) error {
	return c.GoContext(context.Background(), dest, svc, method, args, reply, done)
}

// GoContext starts what [Client.CallContext] does and returns. When the call
// is over it is sent on done, exactly once; until then what args and reply
// point to is the call's. done must have room for it: it panics if done has no
// capacity, and a result that finds the channel full is dropped, with a line in
// the log, as in net/rpc. With a nil done nobody is told. The error returned is
// always nil; that of the call is in [Call].Error.
func (c *Client) GoContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any, done chan *Call) error {
	id := ServiceID{svc, method}
	checkReply(id, reply)
	checkDone(id, done)
	call := &Call{Dest: dest, SvcID: id, Args: args, Reply: reply, Done: done}
	call.start(ctx, c, args)
	return nil
}

// Stream calls the streaming method svc.method on dest. It sends what it receives
// from argsChan (a chan A or <-chan A), as fast as the method takes it, and puts
// the replies into repliesChan (a chan R or chan<- R), which it always closes: read
// them meanwhile, in another goroutine. It returns when the method has returned,
// with its error, when the call fails, and at once when ctx ends. The method does
// not take a channel that is closed after ctx has ended for the end of the
// arguments. Stream panics if a channel is nil or of another type.
//
// The caller closes argsChan, also after an error, and uses it for no other call.
// If it is open when the call is over, one goroutine receives and drops what is
// still sent, so that no sender hangs, until argsChan is closed or [Client.Close]
// is called.
func (c *Client) Stream(ctx context.Context, dest peer.ID, svc, method string, argsChan, repliesChan any) error {
	id := ServiceID{svc, method}
	args, replies := checkStreamChannels(id, argsChan, repliesChan)
	caller := newEnds(args, replies, ctx.Done(), nil)
	defer func() {
		caller.finish()
		caller.src.drain(c.open.ctx.Done())
	}()
	return c.stream(ctx, dest, id, caller, args.Type().Elem(), replies.Type().Elem())
}

// stream makes a streaming call by name. The caller finishes the ends.
func (c *Client) stream(ctx context.Context, dest peer.ID, id ServiceID, caller *ends, arg, reply reflect.Type) error {
	call := c.newCall(dest, id.Name, id.Method, Streaming)
	call.stream = &streamEnds{in: &caller.src, out: &caller.dst, args: arg, replies: reply}
	err := c.do(ctx, call)
	call.release()
	return err
}

// call makes a unary call with the client's options.
func (c *Client) call(ctx context.Context, dest peer.ID, svc, method string, args, reply any) error {
	call := c.newUnary(nil, dest, svc, method, args, reply)
	err := c.do(ctx, call)
	call.release()
	return err
}

// callTyped makes a unary call of a method value, with options that are settled.
func (c *Client) callTyped(ctx context.Context, o *callConfig, dest peer.ID, id ServiceID, arg, reply any) error {
	call := c.newUnary(o, dest, id.Name, id.Method, arg, reply)
	call.typed = true
	err := c.do(ctx, call)
	call.release()
	return err
}

func (c *Client) newUnary(o *callConfig, dest peer.ID, svc, method string, args, reply any) *CallInfo {
	call := c.newCall(dest, svc, method, Unary)
	call.Args, call.Reply, call.options = args, reply, o
	if e, ok := args.(*encodedArgs); ok {
		call.Args, call.encoded = e.value, e
	}
	return call
}

// isLocal reports whether calls of dest stay in the process.
func (c *Client) isLocal(dest peer.ID) bool { return dest == "" || dest == c.id || c.host == nil }

func (c *Client) newCall(dest peer.ID, svc, method string, kind Kind) *CallInfo {
	if !c.isLocal(dest) {
		return &CallInfo{Service: svc, Method: method, Kind: kind, Client: true, Peer: dest}
	}
	return c.nameLocalCall(nil, svc, method, kind)
}

// nameLocalCall is newCall for a local one; of has the names, if they stay there.
func (c *Client) nameLocalCall(of *ServiceID, svc, method string, kind Kind) *CallInfo {
	l := c.newLocalCall()
	call := &l.client // zero, but for its names
	if l.named == nil || l.named != of {
		l.named = of
		call.name(svc, method, c.id)
		if of != nil {
			l.server.name(svc, method, c.id)
		}
	}
	call.Kind, call.Client, call.Local = kind, true, true
	if call.local != l {
		call.local = l
	}
	return call
}

// release is called when nobody uses the call any more.
func (call *CallInfo) release() {
	if call.local != nil {
		call.local.release()
	}
}

// do is the way of every call.
func (c *Client) do(ctx context.Context, call *CallInfo) error {
	if call.options == nil {
		call.options = c.options
	}
	if call.options == nil {
		return plainContextError(c.handler(ctx, call))
	}
	own, cancel := call.options.context(ctx, call)
	defer cancel()
	err := c.attempts(own, call)
	if errors.Is(err, errStopped) && ctx.Err() != nil { // before the call's own, made from it, had
		err = call.told(call.contextEnded(ctx))
	}
	return plainContextError(err)
}

// carried is the end of the chain: the call is carried, and its error says
// whose it is.
func (c *Client) carried(ctx context.Context, call *CallInfo) error {
	err := c.carry(ctx, call)
	if err != nil {
		err = call.told(err)
	}
	return err
}

func (call *CallInfo) told(err error) error {
	if err == nil {
		return nil
	}
	call.recognized(err)
	return call.named(call.advised(err))
}

// carry picks the transport.
func (c *Client) carry(ctx context.Context, call *CallInfo) error {
	if ctx.Err() != nil {
		return call.contextEnded(ctx).notSent(true)
	}
	if c.closed.Load() {
		return c.closedError(call.ID()).notSent(true)
	}
	switch {
	case !call.Local:
		return c.carryRemote(ctx, call)
	case c.local == nil:
		return clientError(CodeFailedPrecondition, call.ID(),
			"the call is local, and the client has no server; make it with NewClientWithServer")
	}
	call.begun = call.Kind == Streaming
	if call.Kind == Streaming && call.stats != nil {
		call.stream.record(call.stats)
	}
	return c.local.carry(ctx, call)
}

// Close ends the client: its calls to other peers that are under way fail
// with [CodeUnavailable], and so do all later calls. The arguments channels of
// streams that are over are no longer received from; see [Client.Stream]. Close
// closes neither the host nor the server. It may be called several times, and
// always returns nil.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.open.close()
	c.sessions.close()
	return nil
}

var errClientClosed = errors.New("the client was closed")

func (c *Client) closedError(id ServiceID) *Error {
	return clientError(CodeUnavailable, id, "%w", errClientClosed)
}
