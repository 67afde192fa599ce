package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
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
// ([Error.Unsent]): the peer cannot be reached ([CodeUnavailable]), it or
// libp2p's resource manager has no room ([CodeResourceExhausted]), or
// AttemptTimeout came before there was a connection. One of a method that is
// [CallIdempotent] is retried too when it may have reached it: after
// [CodeUnavailable], [CodeAborted] and [CodeDeadlineExceeded], and after a
// [CodeResourceExhausted] of the method's own. No call is retried after any
// other error, nor when its context has ended or its client was closed.
//
// Refused for want of room, a call pauses for twice as long as otherwise. If
// the pause would outlast the deadline the call fails at once, with the error
// that it had; so it does after the last attempt. When the context ends in a
// pause its error tells of the attempt's.
//
// Interceptors and the stats handler see each attempt as a call, with its
// number in [CallInfo].Attempt. The reply that an attempt was answered with is
// cleared before the next. Streaming calls are retried only if no stream could
// be opened, so that none of their arguments was taken: idempotent or not.
// Local calls are retried by the same rules.
func CallRetry(p RetryPolicy) CallOption {
	p = p.withDefaults()
	return func(o *callConfig) { o.retry = &p }
}

// attempts makes a call as often as its options say.
func (c *Client) attempts(ctx context.Context, call *CallInfo) error {
	p := call.options.retry
	if p == nil {
		return c.handler(ctx, call)
	}
	pauses := exponential(p.Backoff, p.MaxBackoff)
	for sent := false; ; {
		err := c.attempt(ctx, call, p.AttemptTimeout)
		again := call.Attempt+1 < p.Attempts && ctx.Err() == nil && !c.closed.Load() && call.mayRetry(err)
		pause := pauses.NextBackOff()
		if CodeOf(err) == CodeResourceExhausted {
			pause *= 2
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
		if err := c.pause(ctx, call, pause, nil, err); err != nil {
			return err
		}
		call = c.again(call)
	}
}

func (c *Client) attempt(ctx context.Context, call *CallInfo, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return c.handler(ctx, call)
}

// mayRetry reports whether a call that ended with err can be made again.
func (call *CallInfo) mayRetry(err error) bool {
	if err == nil || call.begun {
		return false
	}
	switch CodeOf(err) {
	case CodeUnavailable, CodeDeadlineExceeded:
		return call.options.idempotent || unsent(err)
	case CodeAborted:
		return call.options.idempotent
	case CodeResourceExhausted: // of the library's, most are limits that would be met again
		return unsent(err) || call.options.idempotent && !IsRPCError(err)
	}
	return false
}

func unsent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsent()
}

// again returns the call for another attempt. Where others have seen the one
// that failed, that is left to them.
func (c *Client) again(call *CallInfo) *CallInfo {
	if c.watched {
		next := *call
		call = &next
	}
	call.Attempt++
	call.stats = nil
	if call.answered {
		call.noReply()
	}
	return call
}

func exponential(first, most time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: first, MaxInterval: most, Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
}

// pause returns nil after d, or when wake has something, and otherwise what
// ended the call, which had failed with err.
func (c *Client) pause(ctx context.Context, call *CallInfo, d time.Duration, wake <-chan struct{}, err error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var ended *Error
	select {
	case <-timer.C:
		return nil
	case <-wake:
		return nil
	case <-ctx.Done():
		ended = call.contextEnded(ctx)
	case <-c.open.ctx.Done():
		ended = c.closedError(call.ID())
	}
	return ended.after(err)
}

// after makes e, of a call that was ended, tell of the error that it had before.
func (e *Error) after(err error) *Error {
	cause := e.cause
	e = e.because(err).notSent(unsent(err))
	e.cause = errors.Join(cause, err)
	return e
}
