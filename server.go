package rpc

import (
	"context"
	"log/slog"
	"reflect"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/carry"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/session"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/wire"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/handlers"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	msg "github.com/libp2p/go-libp2p-gorpc/internal/wire"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// ServiceName is what the library's streams are called with libp2p's resource
// manager, so that limits can be set for them.
const ServiceName = call.ServiceName

// Server serves the methods of registered receivers to the peers of a libp2p
// host, and to the clients of its own process. See the package documentation
// for what methods look like. All its methods are safe for concurrent use.
type Server struct {
	id       peer.ID
	protocol protocol.ID

	logger       *slog.Logger
	authorize    func(peer.ID, string, string) bool
	guards       admit.Guards
	stats        stats.Handler
	interceptors []Interceptor
	refused      func(context.Context, *CallInfo, error)
	sentinels    sentinels
	describes    bool
	countsLocal  bool
	ofLocal      tally.Counts
	watched      bool // somebody may keep a CallInfo
	streamBuffer int
	noSessions   bool
	given        Limits
	configs      admit.Configs
	limits       call.Limits // those in force

	registry      registry
	remote, local Handler

	gate     admit.Gate
	tally    tally.Side
	memory   *account.Peers
	places   *admit.Places
	underWay admit.Calls[*remoteServed]
	decoded  account.Decoded
	handlers *handlers.Set // at the host; nil without one
	streams  *wire.Server
	sessions *session.Server
}

// The way of a request, each step one function:
//
//	Serve                a stream is opened               (internal/carry/wire)
//	                     or a request came on one         (internal/carry/session)
//	  Take               the peer is below its limit
//	  header             which method, deadline, metadata
//	  Serve              the gate is open                 (here)
//	Run                  or a local call starts here
//	    recovered        from panics
//	    observed         stats: Begin ... End             (stats.go)
//	    responding       the reply or the error is sent     (remote)
//	    recovered        from a panic of what follows
//	    admitted         may this peer call this method? are there places?   (remote)
//	    held             what arguments are decoded to is given back     (remote)
//	    prepared         is there such a method? argument decoded, or its type checked
//	    interceptors     the user's
//	    invoked          the method runs                  (service.go, server_stream.go)

// NewServer returns a server for the peers that open streams of protocol p to
// h. With a nil host it serves only the clients made with it
// ([NewClientWithServer]). A later server for the same host and protocol takes
// the place of one that is not closed, with a line in its log. Closing either
// takes away the handlers that are its own.
//
// Beside p the server handles p + "/3", by which a client of this library
// says more than one of v0.6 can (docs/wire.md), and p + "/session/2"
// (docs/session.md).
func NewServer(h host.Host, p protocol.ID, opts ...ServerOption) *Server {
	s := &Server{logger: slog.Default(), protocol: p}
	s.registry.init()
	for _, opt := range opts {
		opt(s)
	}
	s.limits.Set = call.Set(s.given).WithDefaults()
	s.configs.Init(&s.limits)
	s.gate.Init()
	s.tally.Init()
	s.places = admit.NewPlaces(s.limits.CallsPerPeer)
	s.underWay.Init(s.limits.Calls)
	s.decoded.Init(s.limits.DecodedPerPeer)
	s.memory = account.NewPeers(s.limits.MessageSize)
	s.streams = wire.NewServer((*core)(s), &s.limits, s.memory, s.places, &s.tally)
	s.sessions = session.NewServer((*core)(s), &s.limits, s.memory, s.places, &s.tally)

	s.watched = len(s.interceptors) > 0 || s.stats != nil || s.refused != nil
	run := chain(s.invoked, s.interceptors...)
	s.local = chain(run, s.prepared)
	if s.countsLocal || s.stats != nil { // they see what a panic has become
		s.local = s.recovered(s.local)
	}
	if s.countsLocal {
		s.local = s.countedLocal(s.local)
	}
	if s.stats != nil {
		s.local = chain(s.local, s.recovered, observed(s.stats, s.logger.Error))
	}
	s.remote = chain(run, s.recovered, observed(s.stats, s.logger.Error), s.responding, s.recovered, s.admitted, held, s.prepared)

	if s.describes {
		s.registerDescriptions()
	}
	if h != nil {
		s.id, s.handlers = h.ID(), handlers.NewSet(h)
		// The best comes first: peers are told of each as it is set, and choose
		// among what they have been told of.
		if !s.noSessions {
			s.listen(carry.Sessions(p), s.sessions.Serve)
		}
		s.listen(carry.Extended(p), func(st network.Stream) { s.streams.Serve(st, true) })
		s.listen(p, func(st network.Stream) { s.streams.Serve(st, false) })
	}
	return s
}

// ID returns the ID of the server's host, empty without one.
func (s *Server) ID() peer.ID { return s.id }

// servedCall is a call in a server.
type servedCall struct {
	CallInfo
	method *method       // once it is looked up; nil: there is none
	stats  *recorder     // nil where nobody asks
	from   receiver      // of the argument
	local  *localCall    // of a local call
	remote *remoteServed // of one of another peer
	into   reflect.Type  // the same: of the caller's Reply

	*servedStream      // of a streaming call
	told          bool // the caller knows how the call has ended

	// Of a remote call.
	dropped    atomic.Bool // it is not allowed any more
	errorNames string      // what the method's error is declared as
}

// servedStream is what a streaming call has beside. A struct of its own keeps that of
// unary calls small, of which a busy server makes many.
type servedStream struct {
	stream call.Stream
	source flow.Source // the arguments
	sink   flow.Sink   // and the replies
}

// receiver gets a call's argument, or the ends of its streams, checked against the
// method's types.
type receiver interface {
	receive(context.Context, *servedCall) error
}

// remoteServed is a served call of another peer.
type remoteServed struct {
	servedCall
	carried call.Served
	methods serverContext
	holds   account.Holding // of what the arguments take, decoded
	rules   *admit.Rules    // of the method, there or not
	entry   admit.Entry[*remoteServed]
	tally   tally.Call
}

// Run serves a call of the same process. The reply is one of its own, for the
// caller may have gone before the method is done with it.
func (l *localCall) Run(ctx context.Context) (err error) {
	s := l.on
	// A call that Shutdown waits for may need others of this process.
	if !s.gate.Enter() && !s.gate.EnterLate(s.runs(ctx)) {
		return s.closedFault()
	}
	var mc *localContext
	if l.frame != nil {
		mc = l.frame.context()
	} else {
		mc = new(localContext)
	}
	if m := l.server.method; m != nil && m.rules.Late != nil {
		var done context.CancelFunc
		ctx, done = m.rules.Within(ctx)
		defer done()
	}
	mc.init(ctx, s, l.server.method)
	defer func() {
		mc.End(l.back)
		s.gate.Leave()
	}()
	defer s.catch(&l.server.CallInfo, &err)
	return s.local(mc, &l.server.CallInfo)
}

// runs reports whether ctx is that of a method that this server is running.
func (s *Server) runs(ctx context.Context) bool {
	c := servedOf(ctx)
	return c != nil && c.from() == s
}

// newServed returns a call of another peer.
func (s *Server) newServed(c call.Served, stream call.Stream) *remoteServed {
	r := &remoteServed{carried: c, servedCall: servedCall{CallInfo: CallInfo{Peer: c.Peer()}}}
	if stream != nil {
		r.servedStream = &servedStream{stream: stream}
	}
	r.served, r.from, r.remote, r.entry.Call = &r.servedCall, r, r, r
	r.holds = s.decoded.Of(string(r.Peer))
	c.Tally(&r.tally)
	return r
}

// core is the server as its carriers see it.
type core Server

// Serve is that of [call.Server].
func (k *core) Serve(ctx context.Context, h *msg.Header, c call.Served, stream call.Stream) error {
	s := (*Server)(k)
	r := s.newServed(c, stream)
	r.Service, r.Method, r.Kind = h.Service, h.Method, Kind(h.Kind)
	if !s.gate.Enter() { // only now is it a call that Shutdown waits for
		s.turnAway(r, h, s.closedFault())
		return nil
	}
	defer s.gate.Leave()
	if r.method = s.lookup(h.Service, h.Method); r.method == nil {
		r.rules = s.configs.Of(call.ID(r.ID()))
	} else if r.rules = r.method.rules; r.Kind == 0 {
		r.Kind = r.method.kind // a v0.6 client does not say
	}
	if h.Timeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, h.Timeout)
		defer done()
	}
	if r.rules.Late != nil {
		var done context.CancelFunc
		ctx, done = r.rules.Within(ctx)
		defer done()
	}
	r.methods = serverContext{Context: ctx, metadata: h.Metadata, asked: h.Begun, server: s, carried: c, call: &r.CallInfo}
	if r.Kind == Streaming {
		stream.Expect()
	}
	code, counts := codes.Internal, s.tally.Methods.Other() // unless remote returns, which has told the caller
	if r.method != nil {
		counts = r.method.counts.In(&s.tally.Methods, tally.ID(r.method.id))
	}
	s.tally.Begin(&r.tally, counts)
	defer func() { s.tally.End(&r.tally, r.Peer, code) }()
	code = CodeOf(s.remote(&r.methods, &r.CallInfo))
	return nil
}

// Refuse is that of [call.Server].
func (k *core) Refuse(c call.Served, h *msg.Header, err error) {
	s := (*Server)(k)
	if err == call.ErrServerClosed {
		err = s.closedFault()
	}
	s.turnAway(s.newServed(c, nil), h, err)
}

// turnAway tells the caller, and the program, of a call that is not let in. What was
// refused unread is not echoed.
func (s *Server) turnAway(r *remoteServed, h *msg.Header, err error) {
	refuse := s.recovered(func(ctx context.Context, info *CallInfo) error {
		seen := *info
		seen.Service, seen.Method, seen.Kind = h.Service, h.Method, Kind(h.Kind)
		return s.tellUnserved(ctx, &seen, rendered(info.ID(), s.counted(r, err)))
	})
	_ = s.respond(&r.servedCall, refuse(context.Background(), &r.CallInfo))
}

// unserved renders the error of a call that is not served, and tells the program.
func (s *Server) unserved(ctx context.Context, info *CallInfo, err error) error {
	if givenUp(ctx, err) {
		return rendered(info.ID(), err)
	}
	return s.tellUnserved(ctx, info, rendered(info.ID(), s.counted(info.served.remote, err)))
}

func (s *Server) tellUnserved(ctx context.Context, info *CallInfo, told error) error {
	if s.refused != nil {
		s.refused(ctx, info, told)
	}
	return told
}

// recovered turns a panic into an error. Its stack goes to the log: it is none
// of the peer's business.
func (s *Server) recovered(next Handler) Handler {
	return func(ctx context.Context, info *CallInfo) (err error) {
		defer s.catch(info, &err)
		return next(ctx, info)
	}
}

// held gives back what the arguments take when the method has returned, before the
// caller gets the reply and may make another call.
func held(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		defer func() {
			call.Args = nil // or it would be held while the reply is sent
			call.served.remote.holds.Release()
		}()
		return next(ctx, call)
	}
}

// prepared gets the method's argument and makes its reply. Only here, after
// authorization, does the caller learn whether there is such a method.
func (s *Server) prepared(next Handler) Handler {
	return func(ctx context.Context, info *CallInfo) error {
		c := info.served
		if err := s.prepare(ctx, c); err != nil {
			return s.unserved(ctx, info, err)
		}
		err := next(ctx, info)
		if c.method.rules.Late != nil {
			err = c.inTime(ctx, err)
		}
		if err != nil {
			err = ofMethod(sound(err))
			s.nameErrors(c, err)
		}
		if c.Local && c.stats != nil && c.Reply != nil && ctx.Err() == nil {
			c.stats.Out(reflect.ValueOf(c.Reply), nil)
		}
		return err
	}
}

func (s *Server) prepare(ctx context.Context, c *servedCall) error {
	m := c.method
	if m == nil {
		if s.refused != nil {
			if err := c.receiveUntyped(ctx); err != nil && givenUp(ctx, err) {
				return err
			}
		}
		return s.notFound(c.ID())
	}
	if c.Kind != m.kind {
		return m.wrongKind()
	}
	err := c.from.receive(ctx, c)
	if err == nil && m.kind == Unary && c.Reply == nil {
		c.Reply = reflect.New(m.reply).Interface()
	}
	return err
}

// invoked runs the method.
func (s *Server) invoked(ctx context.Context, info *CallInfo) error {
	c := info.served
	switch m := c.method; {
	case m.kind == Streaming:
		return rendered(c.ID(), s.invokeStreaming(ctx, c))
	case c.local != nil && c.local.frame != nil:
		return c.local.frame.invoke(ctx, c)
	default:
		return m.call(ctx, c.Args, c.Reply)
	}
}

func (s *Server) lookup(service, name string) *method {
	return s.registry.now.Load().lookup(ServiceID{service, name})
}
