package errors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var errDeclared = errors.New("declared")

func TestErrorfFormatsAsFmtDoes(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	for _, c := range []struct {
		format string
		args   []any
		is     []error
	}{
		{"plain", nil, nil},
		{"pin %d of %q", []any{7, "a"}, nil},
		{"pin: %w", []any{errPlain}, []error{errPlain}},
		{"pin %d: %w, then %w", []any{7, errPlain, other}, []error{errPlain, other}},
		{"pin: %w", []any{nil}, nil},
		{"pin: %v", []any{errPlain}, nil},
	} {
		err, as := rpc.Errorf(codes.NotFound, c.format, c.args...), fmt.Errorf(c.format, c.args...)
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != codes.NotFound || e.Message != as.Error() || err.Error() != as.Error() {
			t.Errorf("%q: got %#v", c.format, err)
		}
		for _, target := range []error{errPlain, other} {
			if errors.Is(err, target) != errors.Is(as, target) {
				t.Errorf("%q: errors.Is(%v) is %v", c.format, target, errors.Is(err, target))
			}
		}
		if len(c.is) == 1 && errors.Unwrap(err) != c.is[0] {
			t.Errorf("%q: it wraps %v", c.format, errors.Unwrap(err))
		}
		if rpc.IsRPCError(err) {
			t.Errorf("%q is one of the library's", c.format)
		}
	}
}

// TestErrorfsCausesDoNotTravel: the caller gets the text, the code, and a declared
// name; only a caller of the same process gets the causes.
func TestErrorfsCausesDoNotTravel(t *testing.T) {
	t.Parallel()
	_, limited := rpc.NewMethod[int, int]("Svc", "None").Call(
		rpc.ContextWithMetadata(context.Background(), rpc.Metadata{"k": "v"}), limitedClient(t), "nobody", 1)
	if !errors.As(limited, new(*rpc.LimitError)) {
		t.Fatalf("no limit in %v", limited)
	}
	svc := rig.Failing{Errs: map[string]func(context.Context) error{
		"own":       rig.AlwaysErr(rpc.Errorf(codes.NotFound, "pin 7: %w", rig.ErrOwn)),
		"limit":     rig.AlwaysErr(rpc.Errorf(codes.Aborted, "upstream: %w", limited)),
		"in others": rig.AlwaysErr(fmt.Errorf("outer: %w", rpc.Errorf(codes.Aborted, "a %w, b %w", limited, errPlain))),
		"context":   rig.AlwaysErr(rpc.Errorf(codes.Internal, "gave up: %w", context.Canceled)),
		"declared":  rig.AlwaysErr(rpc.Errorf(codes.Aborted, "pin: %w", errDeclared)),
	}}
	named := rpc.CallErrors(map[string]error{"declared": errDeclared})
	o := rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerErrors(map[string]error{"declared": errDeclared})},
		Client: []rpc.ClientOption{rpc.WithCallOptions(named)},
	}
	rig.OverAll(t, svc, o, func(t *testing.T, s rig.Setup) {
		local := s.Dest == s.Sender
		for _, c := range []struct {
			name string
			code codes.Code
			is   error // found locally
		}{
			{"own", codes.NotFound, rig.ErrOwn}, {"limit", codes.Aborted, limited}, {"in others", codes.Aborted, errPlain},
			{"context", codes.Internal, context.Canceled}, {"declared", codes.Aborted, errDeclared},
		} {
			rig.FailBoth(t, s, c.name, func(t *testing.T, err error) {
				var e *rpc.Error
				switch {
				case !errors.As(err, &e) || e.Code != c.code || len(e.Details) > 0 || rpc.IsRPCError(err) || e.Unsent():
					t.Errorf("%s: got %#v", c.name, err)
				case err.Error() != svc.Errs[c.name](nil).Error():
					t.Errorf("%s: the text is %q", c.name, err)
				case errors.Is(err, c.is) != (local || c.is == errDeclared):
					t.Errorf("%s: errors.Is finds the cause: %v", c.name, errors.Is(err, c.is))
				case !local && errors.As(err, new(*rpc.LimitError)):
					t.Errorf("%s: a limit of another call's has travelled", c.name)
				}
			})
		}
	})
}

// limitedClient is one that no metadata passes.
func limitedClient(t *testing.T) *rpc.Client {
	a := rig.NewHost(t)
	return rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{MetadataSize: -1}))
}
