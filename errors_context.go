package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// This file is about the errors of contexts: those of a call's own context, which
// its error tells, and those of libp2p's, which it does not.

// contextError is the error of a call whose context has ended.
func contextError(ctx context.Context, id ServiceID) *Error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	e := clientError(CodeOf(ctx.Err()), id, "%v", err)
	e.cause = err
	return e
}

// contextEnded is contextError in a client. A call by name notes what its context
// says, for plainContextError.
func (call *CallInfo) contextEnded(ctx context.Context) *Error {
	e := contextError(ctx, call.ID())
	if !call.isTyped() {
		e.ended = ctx.Err()
	}
	return e
}

// ownEnd returns the context's error where err tells of the same end: whoever
// serves the call has the same deadline, and may be quicker to say so.
func (call *CallInfo) ownEnd(ctx context.Context, err error) error {
	switch code := CodeOf(err); code {
	case CodeCanceled, CodeDeadlineExceeded:
		if hasEnded(ctx) && CodeOf(ctx.Err()) == code {
			return call.contextEnded(ctx)
		}
	}
	return err
}

// hasEnded reports whether ctx has ended. Where its deadline has passed, as others
// may see first, it waits for that.
func hasEnded(ctx context.Context) bool {
	if d, ok := ctx.Deadline(); ok && ctx.Done() != nil && !time.Now().Before(d) {
		select {
		case <-ctx.Done():
		case <-time.After(deadlineGrace): // a context of the caller's own making
		}
	}
	return ctx.Err() != nil
}

// contextEndedError is the error of a call by name whose context has ended: its
// text and its type are v0.6's, and what it wraps says more.
type contextEndedError struct{ err *Error }

func (e *contextEndedError) Error() string { return e.err.ended.Error() }
func (e *contextEndedError) Unwrap() error { return e.err }

// plainContextError returns the error that a call by name ends with, made of err.
func plainContextError(err error) error {
	e, own := err.(*Error)
	if !own || e.ended == nil {
		return err
	}
	said := *e
	said.kind = NonRPCErr
	return &contextEndedError{&said}
}

// maskContextErrors returns err, which libp2p made, without the errors of
// contexts in its chain: they are of time-outs of libp2p's own, and the caller's
// context has not ended. The text is the same, and all else is still found.
func maskContextErrors(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &maskedError{err}
	}
	return err
}

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
	var masked []error
	for _, err := range wrapped {
		if err != nil {
			masked = append(masked, &maskedError{err})
		}
	}
	return masked
}

func (m *maskedError) Is(target error) bool {
	return target != context.DeadlineExceeded && target != context.Canceled && m.is(target)
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
