package rpc

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// Kind is the form of a method: [Unary] or [Streaming].
type Kind uint8

// The kinds of method.
const (
	// Unary methods take one argument and return one reply.
	Unary Kind = iota + 1
	// Streaming methods take and return any number, at once.
	Streaming
)

func (k Kind) String() string {
	switch k {
	case Unary:
		return "unary"
	case Streaming:
		return "streaming"
	}
	return "unknown"
}

// LogValue makes slog's handlers write the kind as a word.
func (k Kind) LogValue() slog.Value { return slog.StringValue(k.String()) }

// CallInfo is what an interceptor sees of a call. It must not be changed, nor
// kept after the call.
type CallInfo struct {
	// Service and Method name what is called.
	Service, Method string
	// Peer is the other side: the callee in a client, the caller in a server.
	// It is the host's own ID for a local call.
	Peer peer.ID
	// Kind is the form of the call.
	Kind Kind
	// Client is true in a client's chain and false in a server's.
	Client bool
	// Local is whether the call stays in the process.
	Local bool
	// Args is a unary call's argument: in a client what the caller passed, in
	// a server the value that the method gets. nil for a streaming call.
	Args any
	// Reply points to a unary call's reply, which is there when the next
	// handler has returned, beside an error too. nil for a streaming call.
	Reply any
	// Attempt counts, in a client, the attempts of a call that is retried
	// ([CallRetry]), from 0. An interceptor sees each as a call, and so does a
	// stats handler. It is 0 for one of [WithCallInterceptors].
	Attempt int

	items []flow.Hook

	// One of the two, by the side.
	client *clientCall
	served *servedCall
}

// ID returns the call's service and method together.
func (call *CallInfo) ID() ServiceID { return ServiceID{call.Service, call.Method} }

// Attempts returns how often the call has been made so far, in a client: after next
// has returned, for an interceptor of [WithCallInterceptors], how many attempts there
// were. In a server it is 0.
func (call *CallInfo) Attempts() int {
	if call.client == nil {
		return 0
	}
	return int(call.client.tries)
}

// MayRetry reports whether, in a client, [CallRetry] may make the call more than once.
func (call *CallInfo) MayRetry() bool {
	return call.client != nil && call.client.options.retries() && call.client.options.retry.Attempts > 1
}

// Registered reports whether, in a server, there is a method of that name. Names that
// are not registered are of the caller's making.
func (call *CallInfo) Registered() bool { return call.served != nil && call.served.method != nil }

// Conn returns the connection that carries the call: in a server, and in a client when
// next has returned. nil for a local call, and for one that was not sent.
func (call *CallInfo) Conn() network.Conn {
	switch {
	case call.client != nil:
		return call.client.remote.Conn
	case call.served != nil && call.served.remote != nil:
		return call.served.remote.carried.Connection()
	}
	return nil
}

// Header returns the metadata that the method has sent back before its first reply
// ([SetHeader]), in a client: when next has returned, or as soon as it has arrived.
// Before that, in a server, and without any, it is nil.
func (call *CallInfo) Header() Metadata { return call.back().Header() }

// Trailer returns the metadata that the method has sent back with the end of the call
// ([SetTrailer]), in a client, when next has returned; else nil.
func (call *CallInfo) Trailer() Metadata { return call.back().Trailer() }

func (call *CallInfo) back() *call.Back {
	if call.client == nil {
		return nil
	}
	return call.client.remote.Back
}

// OnItem makes f see the items of a streaming call, as they are sent and received by
// this side, typed or by name, local or remote: a sent one before it is encoded, a
// received one before the program has it. item is what CallInfo.Args would be, and
// may be changed only if it is a pointer. An error of f ends the call with it, for
// both sides, as one of the method's; the item goes no further.
//
// An interceptor calls OnItem before next; several add up. f is called by two
// goroutines at once, one for each direction, and not after next has returned. A
// panic in f is one of the interceptor; it must not end its goroutine.
func (call *CallInfo) OnItem(f func(item any, sent bool) error) {
	call.items = append(call.items, f)
}

// hooks has what interceptors have given to OnItem, whose panics guard makes errors.
func (call *CallInfo) hooks(guard func(Handler) Handler) *flow.Hooks {
	var guarded []flow.Hook
	for _, f := range call.items {
		guarded = append(guarded, func(item any, sent bool) error {
			return guard(func(context.Context, *CallInfo) error { return f(item, sent) })(context.Background(), call)
		})
	}
	return flow.NewHooks(guarded)
}

// callInfoKey is what a context has its call under.
type callInfoKey struct{}

// CallInfoFromContext returns the call that a stats handler is told of, for the
// contexts of TagRPC and HandleRPC: its peer, kind, side, attempt, and whether it is
// local. In a server there is no argument and no reply yet. In a method, or an
// interceptor of a server, it returns that call, without these two. ok is false for
// any other context. The CallInfo must not be changed, and may be kept.
func CallInfoFromContext(ctx context.Context) (call *CallInfo, ok bool) {
	call, _ = ctx.Value(callInfoKey{}).(*CallInfo)
	return call, call != nil
}

// Handler carries out a call and returns its error. A unary call's reply is in
// call.Reply then, and a streaming call is over.
type Handler func(ctx context.Context, call *CallInfo) error

// Interceptor wraps a Handler in another: it may look at a call and its error,
// change the context or the error, refuse the call by not calling next, or
// call next more than once (a unary call in a client only). It wraps whole
// calls, unary and streaming, local and remote.
//
//	func logging(next rpc.Handler) rpc.Handler {
//		return func(ctx context.Context, call *rpc.CallInfo) error {
//			err := next(ctx, call)
//			slog.Info("rpc", "method", call.ID(), "peer", call.Peer, "error", err)
//			return err
//		}
//	}
//
// The function is called once, when the client or server is made; what it
// returns is called by several goroutines at once.
type Interceptor func(next Handler) Handler

// WithServerInterceptors makes a server pass every call through the given
// interceptors, the first being the outermost. They come after authorization,
// the look-up of the method and the decoding of its argument; calls that fail
// in those do not reach them (a stats handler sees those too). A panic in one
// ends the call with [codes.Internal]. The option may be given several times.
func WithServerInterceptors(interceptors ...Interceptor) ServerOption {
	return func(s *Server) { s.interceptors = append(s.interceptors, interceptors...) }
}

// WithClientInterceptors makes a client pass every call through the given
// interceptors, the first being the outermost. They run in the goroutine of
// the caller, but for Go and typed streams in one of the call's. A panic in one is
// logged ([slog.Default]) and ends the call with [codes.Internal]. The option may be
// given several times.
func WithClientInterceptors(interceptors ...Interceptor) ClientOption {
	return func(c *Client) { c.interceptors = append(c.interceptors, interceptors...) }
}

// WithCallInterceptors makes a client pass every call through the given interceptors,
// the first being the outermost, once, however often [CallRetry] has it made: the
// attempts are in next, and after it [CallInfo].Attempts tells how many there were.
// The context has the call's options, but for RetryPolicy.AttemptTimeout. What
// [WithClientInterceptors] gives runs inside, for each attempt. The rest is as there.
func WithCallInterceptors(interceptors ...Interceptor) ClientOption {
	return func(c *Client) { c.callInterceptors = append(c.callInterceptors, interceptors...) }
}

// WithRefusedFunc makes a server call f for each call that it does not serve, and that
// no interceptor sees; docs/observing.md tells the reasons apart by err, which is what
// the caller gets. A call that its caller has given up is none of those.
//
//   - Denied: [IsAuthorizationError]. So are calls that [Server.Drop] has ended, which
//     interceptors have seen.
//   - Turned away for want of a place, or in a shutdown: [Error.Unsent].
//   - The rest: no such method, one of the other kind, an argument of another type, or
//     over a limit; a header that cannot be read.
//
// The names are as the peer sent them, and empty if they were not read. Args is known
// for the rest alone, and decoded without a type (docs/observing.md) if there is no
// such method. f must not change or keep call. It is called by several goroutines at
// once, before the caller is answered. A panic in it ends the call with
// [codes.Internal].
func WithRefusedFunc(f func(ctx context.Context, call *CallInfo, err error)) ServerOption {
	return func(s *Server) { s.refused = f }
}

// chain wraps last in the interceptors, the first outermost.
func chain(last Handler, interceptors ...Interceptor) Handler {
	for i := len(interceptors) - 1; i >= 0; i-- {
		last = interceptors[i](last)
	}
	return last
}

// intercepted wraps last in a client's interceptors, which may panic.
func intercepted(last Handler, interceptors []Interceptor) Handler {
	if len(interceptors) == 0 {
		return last
	}
	return recovered(chain(last, interceptors...))
}

// recovered turns a panic of an interceptor, which may be in a goroutine of the
// call's, into an error.
func recovered(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) (err error) {
		defer func() {
			if r := recover(); r != nil {
				logPanic(slog.Default(), "rpc: a client's interceptor panicked", call, r)
				err = fail(call.ID(), call.Peer, codes.Internal, "an interceptor of the client panicked; see the log of the client")
			}
		}()
		return next(ctx, call)
	}
}

// catch is deferred by what may panic.
func (s *Server) catch(info *CallInfo, err *error) {
	if r := recover(); r != nil {
		info.Reply = nil // who knows what is in it
		logPanic(s.logger, "rpc: a method panicked", info, r)
		*err = rendered(info.ID(), call.Fail(call.OfServer, codes.Internal, "panicked while serving the call; see the log of the server"))
	}
}

func logPanic(logger *slog.Logger, what string, call *CallInfo, value any) {
	logger.Error(what, "method", call.ID().String(),
		"peer", call.Peer.String(), "panic", value, "stack", string(debug.Stack()))
}

// exited is the error of a call whose goroutine has been ended by who it has called.
func exited(info *CallInfo) *Error {
	o := call.OfServer
	if info.Client {
		o = call.OfClient
	}
	return render(call.View{ID: call.ID(info.ID())}, call.Exited(o))
}
