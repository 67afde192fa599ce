package rpc

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/carry"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/local"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// Client calls the methods of servers, by peer ID. One client serves a whole
// program; all its methods are safe for concurrent use.
//
// A call whose destination is empty or the host's own ID, or of a client
// whose host is nil, is local: it goes to the server that the client was made
// with, directly. Nothing is encoded, the method gets the argument itself, and
// authorization is not asked. Otherwise a call behaves the same.
type Client struct {
	host     host.Host
	protocol protocol.ID
	id       peer.ID
	server   *Server // nil: no local calls

	stats                          stats.Handler
	interceptors, callInterceptors []Interceptor

	watched     bool // somebody may keep a CallInfo
	given       Limits
	limits      call.Limits // those in force
	decoded     account.Decoded
	callOptions []CallOption
	options     *callConfig // what they say; nil without
	multiBuffer int
	multiStall  time.Duration
	noSessions  bool
	noProtect   bool

	entry   Handler       // of a call
	handler Handler       // of an attempt
	spare   sync.Pool     // local calls; the client's own, as a channel is of the synctest bubble it was made in
	remote  *carry.Router // nil without a host

	tally    tally.Side
	underWay admit.Calls[*clientCall] // of other peers

	closed atomic.Bool
	over   context.Context // ends when the client is closed
	end    context.CancelFunc
}

// The way of a call, each step one function:
//
//	Call, Go, Stream ...   by name (call.go, multicall.go), or Method.Call ... (typed*.go, fanout*.go)
//	do                     its options: metadata, a timeout
//	  interceptors         the user's, of whole calls
//	  attempts             one, unless CallRetry says otherwise   (retry.go)
//	    observed           stats: Begin ... End                   (stats.go)
//	    recovered          from panics of interceptors            (interceptor.go)
//	    interceptors       the user's
//	    carried            an error becomes one of the program's  (errors_render.go)
//	      carry            local or remote?
//	        carryLocal     in this process                        (internal/carry/local)
//	          Run          the server serves it                   (server.go)
//	        Carry          sessions, or a stream of its own?      (internal/carry)
//	          Carry        on the stream of many calls            (internal/carry/session)
//	          Carry        or on one of its own                   (internal/carry/wire)

// NewClient returns a client that calls the peers of h that serve protocol p.
// It has no server for local calls: those fail.
func NewClient(h host.Host, p protocol.ID, opts ...ClientOption) *Client {
	return NewClientWithServer(h, p, nil, opts...)
}

// NewClientWithServer returns a client that calls the peers of h that serve
// protocol p, and s for local calls. With a nil host every call is local.
func NewClientWithServer(h host.Host, p protocol.ID, s *Server, opts ...ClientOption) *Client {
	c := &Client{host: h, protocol: p, server: s}
	for _, opt := range opts {
		opt(c)
	}
	c.limits.Set = call.Set(c.given).WithDefaults()
	c.decoded.Init(c.limits.DecodedPerPeer)
	c.tally.Init()
	c.underWay.Init(math.MaxInt)
	if len(c.callOptions) > 0 {
		c.options = new(callConfig)
		c.options.applyDefaults(c.callOptions, true)
	}
	c.over, c.end = context.WithCancel(context.Background())
	c.over.Done() // makes its channel now, as a channel is of the synctest bubble it was made in
	if h != nil {
		c.id = h.ID()
		c.remote = carry.NewRouter(carry.RouterConfig{
			Host: h, Plain: p, Over: c.over, Limits: &c.limits, Decoded: &c.decoded, Tally: &c.tally, NoSessions: c.noSessions, NoProtect: c.noProtect,
		})
	}
	c.watched = len(c.interceptors)+len(c.callInterceptors) > 0 || c.stats != nil
	c.handler = chain(intercepted(c.carried, c.interceptors), observed(c.stats, slog.Error))
	c.entry = intercepted(c.made, c.callInterceptors)
	return c
}

// ID returns the ID of the client's host, empty without one.
func (c *Client) ID() peer.ID { return c.id }

// isLocal reports whether calls of dest stay in the process.
func (c *Client) isLocal(dest peer.ID) bool { return dest == "" || dest == c.id || c.host == nil }

// call makes a unary call with the client's options.
func (c *Client) call(ctx context.Context, dest peer.ID, id ServiceID, args, reply any) error {
	call := c.newUnary(nil, dest, id, args, reply)
	err := c.do(ctx, call)
	call.release(err)
	return err
}

// callTyped makes a call of a method value. With left the frame is the method's
// still.
func (c *Client) callTyped(ctx context.Context, dest peer.ID, id *ServiceID, found *foundMethod, method, own []CallOption, f localFrame) (left bool, err error) {
	o := c.settled(method, own)
	if c.watched || !c.isLocal(dest) || c.server == nil || c.server.watched || o.retries() {
		arg, reply := f.values()
		return false, c.callEach(ctx, o, dest, *id, arg, reply)
	}
	call := c.newLocal(id, *id, Unary)
	l := call.local
	l.frame = f
	if call.options != o {
		call.options = o
	}
	if m := found.lookup(c.server.registry.now.Load(), *id); l.server.method != m {
		l.server.method = m
	}
	err = c.do(ctx, call)
	if l.carrier.Left {
		return true, err
	}
	l.release()
	return false, err
}

// settled returns what holds for the calls of a method, which has the options
// method, and with options of their own; nil where nothing is set.
func (c *Client) settled(method, own []CallOption) *callConfig {
	if len(method) == 0 && len(own) == 0 {
		return c.options
	}
	o := new(callConfig)
	if c.options != nil {
		*o = *c.options
	}
	o.applyDefaults(method, false)
	for _, opt := range own {
		opt(o)
	}
	return o
}

func (c *Client) newUnary(o *callConfig, dest peer.ID, id ServiceID, args, reply any) *clientCall {
	k := c.newCall(dest, id, Unary)
	k.Args, k.Reply, k.options = args, reply, o
	if e, ok := args.(*call.Encoded); ok {
		k.Args, k.remote.Encoded = e.Value, e
	}
	return k
}

func (c *Client) newCall(dest peer.ID, id ServiceID, kind Kind) *clientCall {
	if c.isLocal(dest) {
		return c.newLocal(nil, id, kind)
	}
	var k *clientCall
	switch {
	case c.watched:
		k = new(watchedCall).init()
	case kind == Unary:
		k = spareCalls.Get().(*clientCall)
		k.spare = true
	default:
		k = new(clientCall)
	}
	k.CallInfo = CallInfo{Service: id.Name, Method: id.Method, Kind: kind, Client: true, Peer: dest, client: k}
	return k
}

// newLocal returns a local call, which release gives back. One that interceptors or
// a stats handler see is theirs to look at for as long as they like, and is new. of
// has the names, if they stay there.
func (c *Client) newLocal(of *ServiceID, id ServiceID, kind Kind) *clientCall {
	var l *localCall
	if c.watched || c.server == nil || c.server.watched {
		l = new(localCall)
	} else if l, _ = c.spare.Get().(*localCall); l == nil {
		l = &localCall{spare: &c.spare}
	}
	k := &l.client // zero, but for its names
	if l.named == nil || l.named != of {
		l.named = of
		k.name(id, c.id)
		if of != nil {
			l.server.name(id, c.id)
		}
	}
	k.Kind, k.Client, k.Local = kind, true, true
	if k.local != l { // it is new
		k.local, k.client = l, k
		l.server.local, l.server.served, l.server.from = l, &l.server, l
	}
	if l.on != c.server {
		l.on = c.server
	}
	if c.watched {
		k.wantBack()
	}
	return k
}

// spareCalls are calls of other peers, as new.
var spareCalls = sync.Pool{New: func() any { return new(clientCall) }}

// release is called when who made the call, which has ended with err, uses it no more. A
// unary one that has succeeded on a session nobody else uses either.
func (c *clientCall) release(err error) {
	switch {
	case c.local != nil:
		c.local.release()
	case err == nil && c.spare && c.remote.Back == nil && !c.remote.Wait && !c.options.retries() && !c.tally.Alone():
		*c = clientCall{}
		spareCalls.Put(c)
	}
}

func (l *localCall) release() {
	if l.spare == nil || l.carrier.Left {
		return
	}
	l.used, l.unanswered, l.carrier.Exited = false, false, false
	if l.frame != nil && l.server.into == nil && l.client.options == nil {
		l.frame, l.server.Reply = nil, nil // and nothing else was set
	} else {
		l.client.reset()
		l.server.reset()
		l.frame = nil
	}
	l.spare.Put(l)
}

// do is the way of every call. A call with a Done may return [call.ErrPending].
func (c *Client) do(ctx context.Context, k *clientCall) error {
	if !k.Local && k.remote.Live == nil {
		return c.doCounted(ctx, k)
	}
	if k.options == nil {
		k.options = c.options
	}
	if k.options == nil && !c.watched {
		return plainContextError(c.carried(ctx, &k.CallInfo))
	} else if k.options == nil {
		return plainContextError(c.entry(ctx, &k.CallInfo))
	}
	own, cancel := k.options.context(ctx, k.Kind)
	defer cancel()
	if k.options.wantsBack() {
		k.wantBack()
	}
	err := c.entry(own, &k.CallInfo)
	if k.Kind == Unary {
		k.options.tellBack(k.remote.Back)
	}
	if errors.Is(err, flow.ErrStopped) && ctx.Err() != nil { // before the call's own, made from it, had
		err = k.told(call.Ended(ctx))
	}
	return plainContextError(err)
}

// carried is the end of the chain: the call is carried, and its error becomes one
// that the program understands.
func (c *Client) carried(ctx context.Context, info *CallInfo) error {
	k := info.client
	err := c.carry(ctx, k)
	if err != nil && err != call.ErrPending {
		err = k.ended(ctx, err)
	}
	k.sent = c.watched && (k.sent || !unsent(err))
	return err
}

// carry picks the carrier of this process, or that of others.
func (c *Client) carry(ctx context.Context, k *clientCall) error {
	switch {
	case ctx.Err() != nil:
		return call.Ended(ctx).NotSent(true)
	case c.closed.Load():
		return call.Closed().NotSent(true)
	case !k.Local:
		return c.remote.Carry(ctx, k.toCarry(ctx))
	case c.server == nil:
		return call.Fail(call.OfClient, codes.FailedPrecondition, "the call is local, and the client has no server; make it with NewClientWithServer")
	}
	return c.carryLocal(ctx, k)
}

// carryLocal makes a call of the client's server.
func (c *Client) carryLocal(ctx context.Context, k *clientCall) error {
	l := k.local
	if l.used { // an interceptor calls again
		l = &localCall{on: c.server}
		l.server.local, l.server.served, l.server.from = l, &l.server, l
	}
	l.used = true
	if k.remote.Back != nil {
		l.back = k.remote.Back
	}
	s := &l.server
	if l.named == nil {
		s.name(k.ID(), k.Peer)
	}
	s.Kind, s.Local = k.Kind, true
	if l.frame == nil {
		s.method = c.server.lookup(k.Service, k.Method)
		s.Args, s.into = k.Args, reflect.TypeOf(k.Reply)
	}
	if k.stats != nil && k.Kind == Unary {
		k.stats.Out(reflect.ValueOf(k.Args), nil)
	}
	var hooks *flow.Hooks
	if k.Kind == Streaming {
		k.remote.Begun = true
		k.observeStream()
		hooks = k.hooks(recovered)
		l.ends = k.stream
		s.servedStream = &servedStream{stream: &local.Stream{In: hooks.Source(k.stream.in, true), Out: hooks.Sink(k.stream.out, false)}}
	}
	err := l.carrier.Carry(ctx, l, s.method != nil && s.method.rules.Heeds)
	switch {
	case l.carrier.Left:
		hooks.Stop()
	case err == flow.ErrClosed || err == flow.ErrStopped:
		return call.Fail(call.OfClient, codes.FailedPrecondition, "%w", err)
	case l.frame != nil:
		if s.into != nil || s.Reply == nil { // or it is there
			l.frame.store(s.Reply)
		}
	case k.Kind == Unary && !l.unanswered:
		if l.carrier.Exited {
			s.Reply = nil // who knows what is in it
		}
		k.storeReply(s.Reply)
	}
	return err
}

// foundMethod remembers what a name meant, of one server at a time: the number
// of what was registered then, and that of the method in it. It keeps neither,
// for a method's value may live longer than its servers.
type foundMethod struct{ atomic.Uint64 }

const methodBits = 20

// lookup is that of r, which is shorter where r is what it was the last time.
func (f *foundMethod) lookup(r *registered, id ServiceID) *method {
	if last := f.Load(); last>>methodBits == r.number {
		return r.methods[last&(1<<methodBits-1)]
	}
	m := r.lookup(id)
	if m != nil && m.number < 1<<methodBits {
		f.Store(r.number<<methodBits | uint64(m.number))
	}
	return m
}
