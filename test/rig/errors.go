package rig

import (
	"context"
	"errors"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// CheckErr checks the kind and code of an error, and what its text names.
func CheckErr(t testing.TB, err error, kind rpc.ErrorType, code codes.Code, names ...string) {
	t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) {
		t.Errorf("no error of the library's: %v", err)
		return
	}
	if e.Type() != kind || rpc.CodeOf(err) != code {
		t.Errorf("kind %v and code %v, not %v and %v: %v", e.Type(), rpc.CodeOf(err), kind, code, err)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("does not name %q: %v", name, err)
		}
	}
}

// CheckNames checks what the text of an error names.
func CheckNames(t *testing.T, err error, names ...string) {
	t.Helper()
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

// ErrKind is for errors that may be of either side.
func ErrKind(err error) rpc.ErrorType {
	var e *rpc.Error
	if errors.As(err, &e) {
		return e.Type()
	}
	return rpc.NonRPCErr
}

// Unsent is what the error says of its request.
func Unsent(err error) bool {
	var e *rpc.Error
	return errors.As(err, &e) && e.Unsent()
}

// ErrOwn is an error with a code, and with details that are easily lost.
var ErrOwn = &rpc.Error{
	Code: codes.NotFound, Message: "no such pin",
	Details: map[string]string{"cid": "Qm", "": "empty key", "empty": ""},
}

// Failing returns the error of the given name, by a unary and by a streaming
// method.
type Failing struct {
	Errs map[string]func(context.Context) error
}

func (f Failing) Unary(ctx context.Context, name string, _ *int) error { return f.Errs[name](ctx) }

func (f Failing) Streaming(ctx context.Context, in <-chan string, _ chan<- int) error {
	return f.Errs[<-in](ctx)
}

// AlwaysErr is a method of Failing that returns err.
func AlwaysErr(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// FailBoth makes a unary and a streaming call with the same argument.
func FailBoth(t *testing.T, s Setup, arg string, check func(*testing.T, error)) {
	t.Helper()
	t.Run("unary", func(t *testing.T) {
		check(t, s.Client.CallContext(Context(t), s.Dest, "Svc", "Unary", arg, new(int)))
	})
	t.Run("streaming", func(t *testing.T) {
		check(t, StreamOnce[int](t, s, "Streaming", arg))
	})
}

// StreamOnce makes a streaming call with one argument.
func StreamOnce[R, A any](t *testing.T, s Setup, method string, arg A, svc ...string) error {
	t.Helper()
	ctx := Context(t)
	args, replies := make(chan A), make(chan R)
	SendAll(ctx, args, arg)
	got := Collect(replies)
	err := s.Client.Stream(ctx, s.Dest, append(svc, "Svc")[0], method, args, replies)
	got()
	return err
}

// CheckEnded checks the error of a call by name whose context has ended: v0.6's
// text and predicates, and what the library's own error within says beside them.
func CheckEnded(t testing.TB, err, want error, names ...string) {
	t.Helper()
	if err == nil || err.Error() != want.Error() || !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
		t.Errorf("%v (%v), not %v", err, rpc.CodeOf(err), want)
		return
	}
	if rpc.IsRPCError(err) || rpc.IsClientError(err) || rpc.IsServerError(err) || rpc.IsAuthorizationError(err) {
		t.Errorf("a predicate holds for %v", err)
	}
	var e *rpc.Error
	if !errors.As(err, &e) || e.Type() != rpc.NonRPCErr {
		t.Errorf("no error of the library's, or one of type %v, in %v", ErrKind(err), err)
		return
	}
	for _, name := range names {
		if !strings.Contains(e.Error(), name) {
			t.Errorf("%q is not in %q", name, e.Error())
		}
	}
}
