package rpc

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
)

// RetryPolicy says how calls are retried; see [CallRetry]. In every field 0 is
// the default.
type RetryPolicy struct {
	// Attempts is how often a call is made at most, the first time included.
	// Default 3. 1 turns off what a farther option turned on.
	Attempts int
	// Backoff is the first pause between attempts. Each is twice as long as
	// the one before, and all are drawn at random from between half and one
	// and a half times that, so that callers who failed together do not come
	// back together. Default 100 ms.
	Backoff time.Duration
	// MaxBackoff is what the pauses grow to. Default 5 s.
	MaxBackoff time.Duration
	// AttemptTimeout bounds each attempt, beside the deadline of the whole
	// call. Default: none.
	AttemptTimeout time.Duration
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.Attempts == 0 {
		p.Attempts = 3
	}
	if p.Backoff <= 0 {
		p.Backoff = 100 * time.Millisecond
	}
	if p.MaxBackoff <= 0 {
		p.MaxBackoff = 5 * time.Second
	}
	p.MaxBackoff = max(p.MaxBackoff, p.Backoff)
	return p
}

// CallRetry makes calls that failed be made again, which by default none is. A
// call is retried if its request has certainly not reached the method
// ([Error.Unsent]): the peer cannot be reached ([codes.Unavailable]), it does not
// serve the protocol, as while it is restarted ([codes.Unimplemented]), it or
// libp2p's resource manager has no room ([codes.ResourceExhausted]), or
// AttemptTimeout came before there was a connection. One of a method that is
// [CallIdempotent] is retried too when it may have reached it: after
// [codes.Unavailable], [codes.Aborted] and [codes.DeadlineExceeded], and after a
// [codes.ResourceExhausted] of the method's own. No call is retried after any
// other error, nor when its context has ended or its client was closed.
//
// Refused for want of room, a call pauses for twice as long as otherwise, and never
// for less than whoever refused it says ([Error.RetryAfter]). If
// the pause would outlast the deadline the call fails at once, with the error
// that it had; so it does after the last attempt. When the context ends in a
// pause its error tells of the attempt's. Where no address of the peer answered, the
// pause lasts until libp2p would dial again, after 5 s or more, or the peer connects.
//
// Interceptors and the stats handler see each attempt as a call, with its
// number in [CallInfo].Attempt; [WithCallInterceptors] is for those that see the call
// once. The reply that an attempt was answered with is
// cleared before the next. Streaming calls are retried only if no stream could
// be opened, so that none of their arguments was taken: idempotent or not.
// Local calls are retried by the same rules.
func CallRetry(p RetryPolicy) CallOption {
	p = p.withDefaults()
	return func(o *callConfig) { o.retry = &p }
}

// made makes a call as often as its options say.
func (c *Client) made(ctx context.Context, info *CallInfo) error {
	if k := info.client; k.options.retries() {
		return c.attempts(ctx, k)
	}
	if !c.watched {
		return c.carried(ctx, info)
	}
	info.client.tries++
	return c.attempt(ctx, info.client, 0)
}

// attempts makes a call that may be made again.
func (c *Client) attempts(ctx context.Context, whole *clientCall) error {
	k, p, items := whole, whole.options.retry, whole.items
	pauses := call.Backoff(p.Backoff, p.MaxBackoff)
	for sent := false; ; {
		whole.tally.Tries(int(whole.tries))
		whole.tries++
		k.tries = whole.tries
		err := c.attempt(ctx, k, p.AttemptTimeout)
		whole.remote.Conn = k.remote.Conn
		again := k.Attempt+1 < p.Attempts && ctx.Err() == nil && !c.closed.Load() && k.mayRetry(err)
		pause := pauses.NextBackOff()
		if CodeOf(err) == codes.ResourceExhausted {
			pause *= 2
		}
		var e *Error
		if errors.As(err, &e) {
			pause = max(pause, e.RetryAfter())
		}
		if d, ok := ctx.Deadline(); ok && time.Until(d) <= pause {
			again = false
		}
		if sent = sent || !unsent(err); sent {
			err = ofMethod(err) // that the last attempt was not sent says nothing of the call
		}
		if !again {
			return err
		}
		whole.tally.Enters(tally.Pausing)
		ended := call.Pause(ctx, c.over, pause, nil)
		if ended == nil && !k.Local {
			ended = c.remote.AwaitDial(ctx, k.Peer, err)
		}
		if ended != nil {
			return k.told(ended.After(err, unsent(err)))
		}
		whole.tally.Enters(tally.Carried)
		c.tally.Retries.Add(1)
		k = c.again(k)
		k.items = slices.Clip(items) // each attempt's interceptors give their own
		whole.remote.Back = k.remote.Back
	}
}

func (c *Client) attempt(ctx context.Context, k *clientCall, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, call.AttemptError(timeout))
		defer cancel()
	}
	err := c.handler(ctx, &k.CallInfo)
	if k.sent { // whatever the interceptors return
		err = ofMethod(err)
	}
	return err
}

// mayRetry reports whether a call that ended with err can be made again.
func (c *clientCall) mayRetry(err error) bool {
	if err == nil || c.remote.Begun {
		return false
	}
	switch CodeOf(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return c.options.idempotent || unsent(err)
	case codes.Unimplemented: // a server that is about to begin looks like one that is not there
		return unsent(err)
	case codes.Aborted:
		return c.options.idempotent
	case codes.ResourceExhausted: // of the library's, most are limits that would be met again
		return unsent(err) || c.options.idempotent && !IsRPCError(err)
	}
	return false
}

func unsent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsent()
}

// again returns the call for another attempt. Where others have seen the one
// that failed, that is left to them.
func (c *Client) again(k *clientCall) *clientCall {
	if c.watched {
		k = &clientCall{
			CallInfo: k.CallInfo, tries: k.tries, options: k.options, typed: k.typed, stream: k.stream, local: k.local, remote: k.remote,
		}
		k.client = k
	}
	k.Attempt++
	k.stats, k.remote.Observer = nil, nil
	if k.remote.Back != nil && k.Kind == Unary { // which a method that goes on may still fill
		k.remote.Back = new(call.Back)
	}
	if k.remote.Answered {
		reflect.ValueOf(k.Reply).Elem().SetZero()
	}
	return k
}
