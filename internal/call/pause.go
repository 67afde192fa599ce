package call

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Backoff returns pauses that begin with first and double up to most, drawn at
// random around that.
func Backoff(first, most time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: first, MaxInterval: most, Multiplier: 2, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
}

// Pause returns nil after d, or when wake has something, and otherwise what
// ended the call: ctx, or over, which ends when the client is closed.
func Pause(ctx, over context.Context, d time.Duration, wake <-chan struct{}) *Fault {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-wake:
		return nil
	case <-ctx.Done():
		return Ended(ctx)
	case <-over.Done():
		return Closed()
	}
}

// After makes f, of a call that was ended, tell of the error that it had before,
// and of whether the request had left then.
func (f *Fault) After(err error, unsent bool) *Fault {
	g := f.With(err.Error()).NotSent(unsent)
	g.Cause = errors.Join(f.Cause, err)
	return g
}
