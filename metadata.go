package rpc

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/local"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Metadata is what a caller sends along with a request: names and values that
// are about the call rather than arguments of it, such as a trace's ID. Keys
// are compared byte by byte.
type Metadata map[string]string

type outgoingMetadata struct{}

// ContextWithMetadata returns a context whose calls carry md, in place of
// what ctx carried before; [AppendMetadata] adds to that. md is not copied: leave it
// alone afterwards.
//
// Metadata goes one step: a method that wants to pass on what it was sent says
// so, with ContextWithMetadata(ctx, MetadataFromContext(ctx)). A v0.6 server
// ignores it. More than [Limits].MetadataSize bytes make the call fail with
// [codes.ResourceExhausted].
func ContextWithMetadata(ctx context.Context, md Metadata) context.Context {
	return context.WithValue(ctx, outgoingMetadata{}, md)
}

// AppendMetadata returns a context whose calls carry, beside what ctx carries, the
// given pairs, each a key and its value, which replaces that of the same key. It
// panics if a key has no value: their number is odd.
func AppendMetadata(ctx context.Context, pairs ...string) context.Context {
	if len(pairs)%2 != 0 {
		panic(fmt.Sprintf("rpc: AppendMetadata: the key %q has no value: pass an even number of strings", pairs[len(pairs)-1]))
	}
	md := maps.Clone(outgoing(ctx))
	if md == nil {
		md = make(Metadata, len(pairs)/2)
	}
	for i := 0; i < len(pairs); i += 2 {
		md[pairs[i]] = pairs[i+1]
	}
	return ContextWithMetadata(ctx, md)
}

// SetHeader sends md back to the caller of the method whose context ctx is, before
// the first reply. A unary method, or an interceptor before a method, may do so several
// times: what is set adds up. In a streaming method it is sent at once, with what
// interceptors have set, so once. Callers read it by [CallReplyMetadata], the methods
// of a stream's call, and [CallInfo].Header; v0.6's get nothing.
//
// More than [Limits].MetadataSize bytes are [codes.ResourceExhausted], a header that
// has gone, and a ctx that is no method's, [codes.FailedPrecondition].
func SetHeader(ctx context.Context, md Metadata) error {
	return setBack(ctx, md, (*call.Setting).SetHeader)
}

// SetTrailer sends md back to the caller with the end of the call, beside an error,
// too, under the rules of [SetHeader]. A method may call it several times until it
// returns, and its interceptors afterwards.
func SetTrailer(ctx context.Context, md Metadata) error {
	return setBack(ctx, md, (*call.Setting).SetTrailer)
}

func setBack(ctx context.Context, md Metadata, set func(*call.Setting, map[string]string, int) error) error {
	c := servedOf(ctx)
	if c == nil {
		return rendered(ServiceID{}, call.Fail(call.OfServer, codes.FailedPrecondition, "the context is not that of a method, and has no caller to send metadata back to"))
	}
	err := set(c.setting(), md, c.from().limits.MetadataSize)
	if info := c.info(); err != nil && info != nil {
		return rendered(info.ID(), err)
	}
	return rendered(ServiceID{}, err)
}

// sendHeader is the [call.SendHeader] of a streaming method.
func (c *servedCall) sendHeader(md map[string]string, now bool) error {
	switch {
	case c.remote != nil && (now || len(md) > 0):
		return c.stream.Header(wire.AppendResponse(nil, &wire.Response{Code: -1, Header: md, Begun: len(md) == 0}), now)
	case c.remote != nil: // the first reply says so
	case now && md == nil:
		c.local.back.Begin()
	default:
		c.local.back.PutHeader(md)
	}
	return nil
}

// asked reports whether the caller is to be told when the method runs.
func (c *servedCall) asked() bool {
	if c.remote == nil {
		return c.local.back.Asks()
	}
	return c.remote.methods.asked
}

type begunKey struct{}

// ContextWithBegun returns a context whose streaming calls, by name and typed, tell f
// when their method runs, once each: whose it is, and the metadata that it sent first
// ([SetHeader]), nil if it sent none within 50 ms. One of a v0.6 peer is known to run
// when its first reply is there; of a call that fails before, f is not told. f is called
// by who receives replies, several times at once if there are several calls, and soon
// returns. A call that Open has opened has methods that wait for the same.
func ContextWithBegun(ctx context.Context, f func(dest peer.ID, header Metadata)) context.Context {
	return context.WithValue(ctx, begunKey{}, f)
}

// doStream is do of a streaming call, in which somebody may be told when the method runs.
func (c *Client) doStream(ctx context.Context, k *clientCall) error {
	if f, ok := ctx.Value(begunKey{}).(func(peer.ID, Metadata)); ok && f != nil {
		dest := k.Peer
		k.wantBack()
		k.remote.Back.Ask(func(header map[string]string) { f(dest, header) })
	}
	err := c.do(ctx, k)
	k.remote.Back.Over(err == nil)
	return err
}

// MetadataFromContext returns a copy of the metadata that came with the call
// which a method, or a server's interceptor, is serving; nil if none did.
func MetadataFromContext(ctx context.Context) Metadata {
	if s := servedOf(ctx); s != nil {
		return maps.Clone(s.received())
	}
	return nil
}

// outgoing returns the metadata that calls with ctx carry.
func outgoing(ctx context.Context) Metadata {
	md, _ := ctx.Value(outgoingMetadata{}).(Metadata)
	return md
}

// served is what the context of a method knows of its call.
type served interface {
	sender() peer.ID
	received() Metadata
	from() *Server
	info() *CallInfo
	setting() *call.Setting
	isRemote() bool
}

type servedKey struct{}

// servedOf returns nil for a context that is not a method's.
func servedOf(ctx context.Context) served {
	s, _ := ctx.Value(servedKey{}).(served)
	return s
}

// valueOf is what the context of a method says in place of those that it is
// made from.
func valueOf(c served, key any) (v any, ok bool) {
	switch key {
	case ContextKeyRequestSender:
		return c.sender(), true
	case servedKey{}:
		return c, true
	case callInfoKey{}:
		return c.info(), true
	case call.StoppingKey{}:
		return c.from().gate.Shutting(), true
	case outgoingMetadata{}, begunKey{}:
		return nil, true // what the caller sent is not what the method sends
	}
	return nil, false
}

// serverContext is a method's, in a remote call.
type serverContext struct {
	context.Context
	metadata        Metadata
	asked           bool // by the caller: does the method run?
	server          *Server
	carried         call.Served
	call            *CallInfo
	settings        atomic.Pointer[call.Setting]
	begun, replied  atomic.Bool // of a streaming call without pumps
	header, trailer Metadata    // what the answer takes back
}

func (c *serverContext) sender() peer.ID    { return c.carried.Peer() }
func (c *serverContext) received() Metadata { return c.metadata }
func (c *serverContext) from() *Server      { return c.server }
func (c *serverContext) isRemote() bool     { return true }

func (c *serverContext) setting() *call.Setting {
	if c.settings.Load() == nil {
		s := new(call.Setting)
		if c.begun.Load() {
			s.Begin(c.call.served.sendHeader, c.asked)
		}
		if c.settings.CompareAndSwap(nil, s) && c.replied.Load() {
			_ = s.Release(false) // the header is too late
		}
	}
	return c.settings.Load()
}

// begin says that a streaming method runs, which has no pump to tell its setting of
// replies.
func (c *serverContext) begin() {
	c.begun.Store(true)
	if c.asked || c.settings.Load() != nil {
		c.setting().Begin(c.call.served.sendHeader, c.asked)
	}
}

// release sends the header, if there is one, before the first reply.
func (c *serverContext) release() error {
	c.replied.Store(true)
	if s := c.settings.Load(); s != nil {
		return s.Release(true)
	}
	return nil
}

// takeBack takes what the method sends back. Nothing can be set any more.
func (c *serverContext) takeBack() {
	if c.settings.CompareAndSwap(nil, call.Unset) {
		return
	}
	if header, trailer := c.settings.Load().Finish(); c.carried.Returns() {
		c.header, c.trailer = header, trailer
	}
}

// appendBack appends a response's header that has nothing but that, if there is any.
func (c *serverContext) appendBack(b []byte) []byte {
	if len(c.header) == 0 && len(c.trailer) == 0 {
		return b
	}
	return wire.AppendResponse(b, &wire.Response{Code: -1, Header: c.header, Trailer: c.trailer})
}

func (c *serverContext) info() *CallInfo {
	return &CallInfo{Service: c.call.Service, Method: c.call.Method, Peer: c.call.Peer, Kind: c.call.Kind}
}

// Done starts to look out for the caller's going.
func (c *serverContext) Done() <-chan struct{} { return c.carried.Watch(c.Context).Done() }

// Err is for methods that ask now and then rather than wait.
func (c *serverContext) Err() error { return c.carried.Watch(c.Context).Err() }

func (c *serverContext) Value(key any) any {
	if v, ok := valueOf(c, key); ok {
		return v
	}
	return c.carried.Watched(c.Context).Value(key)
}

// localContext is a method's, in a local call.
type localContext struct {
	local.Context
	method *method // without a name if there is none
}

func (c *localContext) init(ctx context.Context, s *Server, m *method) {
	if m == nil {
		m = &method{server: s}
	}
	c.Context.Context, c.method = ctx, m
}

func (c *localContext) sender() peer.ID    { return c.method.server.id }
func (c *localContext) received() Metadata { return outgoing(c.Context.Context) }
func (c *localContext) from() *Server      { return c.method.server }
func (c *localContext) isRemote() bool     { return false }

func (c *localContext) setting() *call.Setting { return c.Setting() }

func (c *localContext) info() *CallInfo {
	m := c.method
	if m.id == (ServiceID{}) {
		return nil
	}
	return &CallInfo{Service: m.id.Name, Method: m.id.Method, Peer: m.server.id, Kind: m.kind, Local: true}
}

func (c *localContext) Value(key any) any {
	if v, ok := valueOf(c, key); ok {
		return v
	}
	return c.Context.Value(key)
}
