package rpc

import (
	"context"
	"maps"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

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
	// The call's own, which come before its context's.
	timeout  timeout
	metadata Metadata
	// The method's and the client's, which come after.
	fallback  timeout
	unaryOnly bool // the fallback is the client's
	farther   Metadata

	dial       call.Dialing
	limited    bool
	idempotent bool
	retry      *RetryPolicy
	sentinels  sentinels
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

// CallMetadata sends md along, beside the metadata of the context and of
// farther options: of two values for one key the nearer is sent. md is not
// copied: leave it alone afterwards.
func CallMetadata(md Metadata) CallOption {
	return func(o *callConfig) { o.metadata = merged(o.metadata, md) }
}

// CallWait makes calls wait for a connection. A peer that cannot be reached,
// or whose addresses are not known, is dialled again and again until the
// call's deadline, with pauses that grow from 50 ms to 1 s, and at once when
// it has connected by itself. libp2p keeps from dialling an address for some
// seconds after it has failed. The error is then the context's, and tells why
// there was no connection. Without a deadline a call may wait for ever.
// Default false: the peer is dialled once. It takes back [CallNoDial].
func CallWait(on bool) CallOption {
	return func(o *callConfig) { o.setDialing(call.DialWaiting, on) }
}

// CallNoDial makes calls fail at once, with [codes.Unavailable] and
// [network.ErrNoConn], where there is no connection to the peer already.
// Default false: the peer is dialled. It takes back [CallWait].
func CallNoDial(on bool) CallOption {
	return func(o *callConfig) { o.setDialing(call.DialNever, on) }
}

func (o *callConfig) setDialing(how call.Dialing, on bool) {
	switch {
	case on:
		o.dial = how
	case o.dial == how:
		o.dial = call.DialOnce
	}
}

// CallAllowLimited allows calls to go over a relayed connection, which is
// limited in time and in bytes, where there is no direct one. Default false; a
// context of [network.WithAllowLimitedConn] allows it all the same.
func CallAllowLimited(on bool) CallOption {
	return func(o *callConfig) { o.limited = on }
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
	return func(c *Client) { c.callOptions = append(c.callOptions, opts...) }
}

// ApplyFan makes a CallOption a [fan.Option]: it holds for the call of each peer.
// Programs have no use for it.
func (o CallOption) ApplyFan(f *many.Options) { f.Calls = append(f.Calls, o) }

func (o CallOption) configure(m *methodConfig) { m.calls = append(m.calls, o) }

// applyDefaults applies options that come after the context.
func (o *callConfig) applyDefaults(opts []CallOption, unaryOnly bool) {
	for _, opt := range opts {
		opt(o)
	}
	if o.timeout.set {
		o.fallback, o.unaryOnly = o.timeout, unaryOnly
	}
	o.farther = merged(o.farther, o.metadata)
	o.timeout, o.metadata = timeout{}, nil
}

func (o *callConfig) retries() bool { return o != nil && o.retry != nil }

// merged returns far and near in one; neither is changed.
func merged(far, near Metadata) Metadata {
	switch {
	case len(near) == 0:
		return far
	case len(far) == 0:
		return near
	}
	md := maps.Clone(far)
	maps.Copy(md, near)
	return md
}

// context returns ctx with all that the options say of it.
func (o *callConfig) context(ctx context.Context, k *clientCall) (context.Context, context.CancelFunc) {
	if len(o.farther) > 0 || len(o.metadata) > 0 {
		ctx = ContextWithMetadata(ctx, merged(merged(o.farther, outgoing(ctx)), o.metadata))
	}
	if !k.Local { // a method that is local does not inherit them
		if o.dial == call.DialNever {
			ctx = network.WithNoDial(ctx, "rpc: CallNoDial")
		}
		if o.limited {
			ctx = network.WithAllowLimitedConn(ctx, "rpc: CallAllowLimited")
		}
	}
	_, has := ctx.Deadline()
	if d := o.bound(k.Kind, has); d > 0 {
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
