package rpc

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

// CallOption configures calls: one, given to a typed call; all calls of a
// method, given to [NewMethod] and its like; or all of a client, by
// [WithCallOptions]. What is nearest to the call counts: its own options, then
// its context, then those of the method, then those of the client; of options
// in one place the last. Calls by name ([Client.Call] and its like) have
// their client's options.
type CallOption func(*callConfig)

// callConfig is what the options of a call say together.
type callConfig struct {
	timeout   timeout // the call's own
	fallback  timeout // the method's or the client's, without a deadline
	unaryOnly bool    // the fallback is the client's

	wait       bool
	idempotent bool
	retry      *RetryPolicy
	sentinels  sentinels

	header, trailer *Metadata // where to store what the method sends back
}

// timeout is none where it is set to 0.
type timeout struct {
	d   time.Duration
	set bool
}

// CallTimeout bounds calls: after d they fail as if it had been their deadline.
// Given to one call it holds beside the deadline of the context, and the
// sooner counts. As an option of a method or a client it is for calls whose
// context has no deadline, and a client's is for unary calls only. In a fan-out
// each peer's call has d, from when it begins. 0, the default, is no bound.
func CallTimeout(d time.Duration) CallOption {
	return func(o *callConfig) { o.timeout = timeout{max(d, 0), true} }
}

// CallReplyMetadata stores the metadata that the method sends back in header and
// trailer, either of which may be nil, when the call is over: also beside an error. Of
// a [ServerStream] the header is there when its first reply is. It is for one call: to
// give it to a method, a client or calls of many peers is a panic, and of a stream that
// Open has opened, methods of the call tell. Without a header or a trailer what they
// point to becomes nil.
func CallReplyMetadata(header, trailer *Metadata) CallOption {
	return func(o *callConfig) { o.header, o.trailer = header, trailer }
}

func (o *callConfig) wantsBack() bool { return o.header != nil || o.trailer != nil }

// tellBack stores what the method has sent back where the program wants it.
func (o *callConfig) tellBack(b *call.Back) {
	if o == nil {
		return
	}
	if o.header != nil {
		*o.header = b.Header()
	}
	if o.trailer != nil {
		*o.trailer = b.Trailer()
	}
}

// watchedCall is a call of another peer that interceptors or a stats handler see.
type watchedCall struct {
	clientCall
	kept call.Back
}

func (w *watchedCall) init() *clientCall {
	w.remote.Back = &w.kept
	return &w.clientCall
}

// wantBack makes the call keep what the method sends back.
func (c *clientCall) wantBack() {
	switch {
	case c.remote.Back != nil:
	case c.Local:
		c.remote.Back = &c.local.kept
	default:
		c.remote.Back = new(call.Back)
	}
}

// forMany panics if there is an option that is for one call.
func forMany(opts ...CallOption) {
	var o callConfig
	for _, opt := range opts {
		opt(&o)
	}
	if o.wantsBack() {
		panic("rpc: CallReplyMetadata is for one call; an interceptor reads what others are sent back (CallInfo.Header)")
	}
}

// CallWait makes calls wait for a connection. A peer that cannot be reached,
// or whose addresses are not known, is dialled again and again until the
// call's deadline, with pauses that grow from 50 ms to 1 s, and at once when
// it has connected by itself. libp2p keeps from dialling an address for some
// seconds after it has failed. The error is then the context's, and tells why
// there was no connection. Without a deadline a call may wait for ever.
// With a context of [network.WithNoDial] it waits for the peer to connect. Default
// false: the peer is dialled once.
func CallWait(on bool) CallOption {
	return func(o *callConfig) { o.wait = on }
}

// CallIdempotent says that a method may run more than once for one call, so
// that calls are retried though an earlier attempt may have reached it; see
// [CallRetry]. Default false.
func CallIdempotent(on bool) CallOption {
	return func(o *callConfig) { o.idempotent = on }
}

// WithCallOptions makes opts hold for all calls of a client whose methods,
// contexts and own options do not say otherwise. It may be given several
// times.
func WithCallOptions(opts ...CallOption) ClientOption {
	forMany(opts...)
	return func(c *Client) { c.callOptions = append(c.callOptions, opts...) }
}

// ApplyFan makes a CallOption a [fan.Option]: it holds for the call of each peer.
// Programs have no use for it.
func (o CallOption) ApplyFan(f *many.Options) {
	forMany(o)
	f.Calls = append(f.Calls, o)
}

// applyDefaults applies options that come after the context.
func (o *callConfig) applyDefaults(opts []CallOption, unaryOnly bool) {
	for _, opt := range opts {
		opt(o)
	}
	if o.timeout.set {
		o.fallback, o.unaryOnly = o.timeout, unaryOnly
	}
	o.timeout = timeout{}
}

func (o *callConfig) retries() bool { return o != nil && o.retry != nil }

// context returns ctx bounded as the options say.
func (o *callConfig) context(ctx context.Context, kind Kind) (context.Context, context.CancelFunc) {
	_, has := ctx.Deadline()
	if d := o.bound(kind, has); d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

// bound returns how long a call may take, 0 without a bound.
func (o *callConfig) bound(kind Kind, hasDeadline bool) time.Duration {
	switch {
	case o == nil:
	case o.timeout.set:
		return o.timeout.d
	case !hasDeadline && (kind == Unary || !o.unaryOnly):
		return o.fallback.d
	}
	return 0
}
