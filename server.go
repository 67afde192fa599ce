package rpc

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// ServiceName is what the library's streams are called with libp2p's resource
// manager, so that limits can be set for them.
const ServiceName = "libp2p.gorpc"

// Server serves the methods of registered receivers to the peers of a libp2p
// host, and to the clients of its own process. See the package documentation
// for what methods look like. All its methods are safe for concurrent use.
type Server struct {
	host     host.Host
	protocol protocol.ID
	id       peer.ID

	logger       *slog.Logger
	authorize    func(peer.ID, string, string) bool
	stats        stats.Handler
	interceptors []Interceptor
	refused      func(context.Context, *CallInfo, error)
	sentinels    sentinels
	describes    bool
	watched      bool // somebody may keep a CallInfo
	streamBuffer int
	noSessions   bool
	limits       Limits

	registry      registry
	remote, local Handler

	gate     gate
	slots    slots
	decoded  decodeAccount
	conns    conns
	sessions serverSessions
	memory   *account.Peers
}

// The way of a request, each step one function:
//
//	serve                  a stream is opened          (wire_server.go)
//	  gate, peer's slot    the server is open, the peer below its limit
//	  readHeader           which method, deadline, metadata
//	serveRequest           or a request came on one  (session_server.go)
//	  dispatch             or serveLocal, which starts here
//	    recovered          from panics
//	    observed           stats: Begin ... End
//	    responding         the reply or the error is sent     (remote)
//	    recovered          from a panic of what follows
//	    authorized         may this peer call this method?    (remote)
//	    admitted           all peers' slots                   (remote)
//	    held                 what arguments are decoded to is given back     (remote)
//	    prepared           is there such a method? argument decoded, or its type checked
//	    interceptors       the user's
//	    invoked            the method runs

// ServerOption configures a [Server] as it is made.
type ServerOption func(*Server)

// WithStreamBufferSize sets how many arguments, and how many replies, of a
// streaming call a server holds between the stream and the method's channels.
// Default 0: an item is received when the method takes it. Typed methods hold
// more than that by themselves; see [Sender.Send].
func WithStreamBufferSize(size int) ServerOption {
	return func(s *Server) { s.streamBuffer = max(size, 0) }
}

// WithServerLimits sets the limits of a server; see [Limits] for the defaults.
func WithServerLimits(l Limits) ServerOption {
	return func(s *Server) { s.limits = l }
}

// WithServerLogger makes a server log to l: panics of methods, with their
// stack, at level Error, and methods that Register leaves out at level Warn.
// Default is [slog.Default].
func WithServerLogger(l *slog.Logger) ServerOption {
	return func(s *Server) { s.logger = l }
}

// WithServerSessions says whether a server takes sessions, on which many unary
// calls of one client share a stream; see docs/session.md. Default true.
// Without them every call has a stream of its own, as in v0.6.
func WithServerSessions(on bool) ServerOption {
	return func(s *Server) { s.noSessions = !on }
}

// NewServer returns a server for the peers that open streams of protocol p to
// h. With a nil host it serves only the clients made with it
// ([NewClientWithServer]). A later server for the same host and protocol takes
// the place of the first, which must be closed before: closing it takes away
// the handlers of that protocol, whosever they are.
//
// Beside p the server handles p + "/2", by which a client of this library
// says more than one of v0.6 can (docs/wire.md), and p + "/session/1"
// (docs/session.md).
func NewServer(h host.Host, p protocol.ID, opts ...ServerOption) *Server {
	s := &Server{host: h, protocol: p, logger: slog.Default()}
	s.registry.init()
	s.conns.open = make(map[*serverConn]struct{})
	s.sessions.open = make(map[*serverSession]struct{})
	s.sessions.perPeer = make(map[peer.ID]int)
	for _, opt := range opts {
		opt(s)
	}
	s.limits = s.limits.withDefaults()
	s.gate.idle = make(chan struct{})
	s.slots.max, s.slots.maxPerPeer = s.limits.Calls, s.limits.CallsPerPeer
	s.slots.perPeer = make(map[peer.ID]int)
	s.decoded.init(&s.limits)
	s.memory = account.NewPeers(s.limits.MessageSize)

	s.watched = len(s.interceptors) > 0 || s.stats != nil || s.refused != nil
	run := chain(s.invoked, s.interceptors...)
	s.local = chain(run, s.recovered, s.prepared)
	if s.stats != nil {
		s.local = chain(s.local, s.recovered, observed(s.stats))
	}
	s.remote = chain(run, s.recovered, observed(s.stats), s.responding, s.recovered, s.authorized, s.admitted, held, s.prepared)

	if s.describes {
		s.registerDescriptions()
	}
	if h != nil {
		s.id = h.ID()
		// The best comes first: peers are told of each as it is set, and choose
		// among what they have been told of.
		if !s.noSessions {
			h.SetStreamHandler(sessions(p), s.serveSession)
		}
		h.SetStreamHandler(extended(p), func(st network.Stream) { s.serve(st, true) })
		h.SetStreamHandler(p, func(st network.Stream) { s.serve(st, false) })
	}
	return s
}

// extended is the protocol that says more than v0.6's.
func extended(p protocol.ID) protocol.ID { return p + "/2" }

// sessions is the protocol of sessions.
func sessions(p protocol.ID) protocol.ID { return p + "/session/1" }

// ID returns the ID of the server's host, empty without one.
func (s *Server) ID() peer.ID { return s.id }

// serveLocal serves a call of the same process. The reply is one of its own,
// for the caller may have gone before the method is done with it.
func (s *Server) serveLocal(ctx context.Context, c *localCall) error {
	// A call that Shutdown waits for may need others of this process.
	if !s.gate.enter() && !s.gate.enterLate(s.runs(ctx)) {
		return s.closedError(c.server.ID())
	}
	defer s.gate.leave()
	var mc *localContext
	if c.frame != nil {
		mc = c.frame.context()
	} else {
		mc = new(localContext)
	}
	mc.Context, mc.server = ctx, s
	return s.local(mc, &c.server)
}

// runs reports whether ctx is that of a method that this server is running.
func (s *Server) runs(ctx context.Context) bool {
	c := servedOf(ctx)
	return c != nil && c.from() == s
}

func (s *Server) closedError(id ServiceID) error {
	return serverError(CodeUnavailable, id, "the server is shutting down").notSent(true)
}

// prepared gets the method's argument and makes its reply. Only here, after
// authorization, does the caller learn whether there is such a method.
func (s *Server) prepared(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		if err := s.prepare(ctx, call); err != nil {
			if s.refused != nil {
				s.refused(ctx, call, err)
			}
			return err
		}
		err := next(ctx, call)
		if err != nil {
			err = ofMethod(sound(err))
			s.nameErrors(call, err)
		}
		if call.Local && call.stats != nil && call.Reply != nil && ctx.Err() == nil {
			call.stats.out(reflect.ValueOf(call.Reply), nil)
		}
		return err
	}
}

func (s *Server) prepare(ctx context.Context, call *CallInfo) (err error) {
	m := call.method
	if m == nil {
		if s.refused != nil {
			call.receiveUntyped(ctx)
		}
		return s.notFound(call.ID())
	}
	if call.Kind != m.kind {
		return m.wrongKind()
	}
	if call.Local {
		err = call.receiveLocal()
	} else {
		err = call.remote.receive(ctx, call)
	}
	if err == nil && m.kind == Unary && call.Reply == nil {
		call.Reply = reflect.New(m.reply).Interface()
	}
	return err
}

// invoked runs the method.
func (s *Server) invoked(ctx context.Context, call *CallInfo) error {
	m := call.method
	switch {
	case m.kind == Streaming:
		return s.invokeStreaming(ctx, call)
	case call.local != nil && call.local.frame != nil:
		return call.local.frame.invoke(ctx, call)
	}
	return m.call(ctx, call.Args, call.Reply)
}
