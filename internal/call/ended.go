package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Grace is how far the two sides' clocks are trusted to differ over one deadline.
const Grace = time.Second

// CodeOfContext returns the code of a context's error.
func CodeOfContext(err error) codes.Code {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return codes.Unknown
}

// Ended is the fault of a call whose context has ended.
func Ended(ctx context.Context) *Fault {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	f := Fail(OfClient, CodeOfContext(ctx.Err()), "%v", err)
	f.Cause, f.Ended = err, ctx.Err()
	return f
}

// Exited is the fault of a call whose goroutine a method, an interceptor, or what a type
// has to encode itself, has ended.
func Exited(o Origin) *Fault {
	return Fail(o, codes.Internal, "the method, an interceptor or a type's own encoding ended its goroutine (runtime.Goexit)")
}

// Outcome calls told with what f returns, or with [Exited] if f ends its goroutine.
func Outcome(o Origin, f func() error, told func(error)) {
	var err error = Exited(o)
	defer func() { told(err) }()
	err = f()
}

// HasEnded reports whether ctx has ended. If its deadline has passed, as others
// may see first, it waits for the end.
func HasEnded(ctx context.Context) bool {
	if d, ok := ctx.Deadline(); ok && ctx.Done() != nil && !time.Now().Before(d) {
		select {
		case <-ctx.Done():
		case <-time.After(Grace): // a context of the caller's own making
		}
	}
	return ctx.Err() != nil
}

// Masked returns err, which libp2p made, without what would say something else to
// the program: the errors of contexts, for the time-out was libp2p's own, and io.EOF,
// for a connection that broke is no clean end. The text is the same, and everything
// else is still found.
func Masked(err error) error {
	for _, m := range masked {
		if errors.Is(err, m) {
			return &maskedError{err}
		}
	}
	return err
}

// masked are the errors that Masked hides.
var masked = [...]error{context.DeadlineExceeded, context.Canceled, io.EOF}

// maskedError is one error of a chain. [errors.Is] and [errors.As] look at err
// itself by the methods Is and As, and at what it wraps by Unwrap.
type maskedError struct{ err error }

func (m *maskedError) Error() string { return m.err.Error() }

func (m *maskedError) Unwrap() []error {
	var wrapped []error
	switch e := m.err.(type) {
	case interface{ Unwrap() error }:
		wrapped = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		wrapped = e.Unwrap()
	}
	var own []error
	for _, err := range wrapped {
		if err != nil {
			own = append(own, &maskedError{err})
		}
	}
	return own
}

func (m *maskedError) Is(target error) bool {
	return !slices.Contains(masked[:], target) && m.is(target)
}

// is reports whether err itself is target.
func (m *maskedError) is(target error) bool {
	if reflect.TypeOf(target).Comparable() && m.err == target {
		return true
	}
	e, ok := m.err.(interface{ Is(error) bool })
	return ok && e.Is(target)
}

func (m *maskedError) As(target any) bool {
	if m.is(context.DeadlineExceeded) || m.is(context.Canceled) {
		return false // or it would be found as a net.Error
	}
	to := reflect.ValueOf(target).Elem()
	if reflect.TypeOf(m.err).AssignableTo(to.Type()) {
		to.Set(reflect.ValueOf(m.err))
		return true
	}
	e, ok := m.err.(interface{ As(any) bool })
	return ok && e.As(target)
}

// GrowStack makes room on a new goroutine's stack at once, while there is little
// on it to be moved: to call by reflection, to serve a libp2p stream and to close
// one needs the room. Growing the stack under way, several times, takes longer
// than all the rest of a local call, and 3 % of a small one on a stream of its own.
//
//go:noinline
func GrowStack() {
	var room [4 << 10]byte
	runtime.KeepAlive(&room)
}

// AttemptError is the cause of a context that has ended because an attempt took longer
// than RetryPolicy.AttemptTimeout.
type AttemptError time.Duration

func (e AttemptError) Error() string {
	return fmt.Sprintf("the attempt took longer than RetryPolicy.AttemptTimeout, %v", time.Duration(e))
}
