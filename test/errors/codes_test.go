package errors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestEveryCodeTravels(t *testing.T) {
	t.Parallel()
	svc := rig.Failing{Errs: make(map[string]func(context.Context) error)}
	codes := []rpc.Code{17, 1 << 10} // of a later version
	for c := rpc.CodeCanceled; c <= rpc.CodeUnauthenticated; c++ {
		codes = append(codes, c)
	}
	for _, c := range codes {
		svc.Errs[c.String()] = rig.AlwaysErr(&rpc.Error{Code: c, Message: "text"})
	}
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, c := range codes {
			rig.FailBoth(t, s, c.String(), func(t *testing.T, err error) {
				if rpc.CodeOf(err) != c || err.Error() != "text" {
					t.Fatalf("%v arrives as %v, %v", c, rpc.CodeOf(err), err)
				}
			})
		}
	})
}

func TestCodesHaveTheNumbersAndNamesOfGRPC(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		code rpc.Code
		name string
	}{
		{rpc.CodeOK, "OK"}, {rpc.CodeCanceled, "Canceled"}, {rpc.CodeUnknown, "Unknown"},
		{rpc.CodeInvalidArgument, "InvalidArgument"}, {rpc.CodeDeadlineExceeded, "DeadlineExceeded"},
		{rpc.CodeNotFound, "NotFound"}, {rpc.CodeAlreadyExists, "AlreadyExists"},
		{rpc.CodePermissionDenied, "PermissionDenied"}, {rpc.CodeResourceExhausted, "ResourceExhausted"},
		{rpc.CodeFailedPrecondition, "FailedPrecondition"}, {rpc.CodeAborted, "Aborted"},
		{rpc.CodeOutOfRange, "OutOfRange"}, {rpc.CodeUnimplemented, "Unimplemented"},
		{rpc.CodeInternal, "Internal"}, {rpc.CodeUnavailable, "Unavailable"},
		{rpc.CodeDataLoss, "DataLoss"}, {rpc.CodeUnauthenticated, "Unauthenticated"},
		{17, "Code(17)"},
	} {
		if c.code != rpc.Code(i) || c.code.String() != c.name {
			t.Errorf("%d is %v, not %s", c.code, c.code, c.name)
		}
	}
	if s := rpc.Code(1<<32 - 1).String(); s != "Code(4294967295)" {
		t.Errorf("the greatest code is %s", s)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want rpc.Code
	}{
		{nil, rpc.CodeOK},
		{errPlain, rpc.CodeUnknown},
		{context.Canceled, rpc.CodeCanceled},
		{context.DeadlineExceeded, rpc.CodeDeadlineExceeded},
		{fmt.Errorf("x: %w", context.Canceled), rpc.CodeCanceled},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), rpc.CodeDeadlineExceeded},
		{rig.ErrOwn, rpc.CodeNotFound},
		{fmt.Errorf("x: %w", rig.ErrOwn), rpc.CodeNotFound},
		{errors.Join(errPlain, rig.ErrOwn), rpc.CodeNotFound},
		{errors.Join(context.Canceled, rig.ErrOwn), rpc.CodeNotFound},
		{&rpc.Error{}, rpc.CodeUnknown},
		{fmt.Errorf("%w: %w", &rpc.Error{}, context.Canceled), rpc.CodeCanceled},
	} {
		if got := rpc.CodeOf(c.err); got != c.want {
			t.Errorf("the code of %v is %v, not %v", c.err, got, c.want)
		}
	}
}

func TestLibraryErrorsHaveKindAndCode(t *testing.T) {
	t.Parallel()
	deny := rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "Denied" })
	rig.OverAll(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{deny}}, func(t *testing.T, s rig.Setup) {
		call := func(svc, method string, args any) error { return s.Client.Call(s.Dest, svc, method, args, new(int)) }
		type want struct {
			name string
			err  error
			kind rpc.ErrorType
			code rpc.Code
		}
		cases := []want{
			{"no service", call("None", "X", 1), rpc.ServerErr, rpc.CodeUnimplemented},
			{"no method", call("Svc", "None", 1), rpc.ServerErr, rpc.CodeUnimplemented},
			{"other argument", call("Svc", "Multiply", "x"), rpc.ServerErr, rpc.CodeInvalidArgument},
			{"nil argument", call("Svc", "Multiply", nil), rpc.ServerErr, rpc.CodeInvalidArgument},
		}
		if s.Dest != s.Sender {
			cases = append(cases, want{"denied", call("Svc", "Denied", 1), rpc.AuthorizationErr, rpc.CodePermissionDenied})
		}
		for _, c := range cases {
			var e *rpc.Error
			if !errors.As(c.err, &e) || e.Type() != c.kind || e.Code != c.code {
				t.Errorf("%s: got %v, %v", c.name, c.err, rpc.CodeOf(c.err))
				continue
			}
			if !rpc.IsRPCError(c.err) || rpc.IsServerError(c.err) != (c.kind == rpc.ServerErr) ||
				rpc.IsClientError(c.err) != (c.kind == rpc.ClientErr) || rpc.IsAuthorizationError(c.err) != (c.kind == rpc.AuthorizationErr) {
				t.Errorf("%s: the Is functions do not agree with %v", c.name, c.kind)
			}
			if !rpc.IsRPCError(fmt.Errorf("x: %w", c.err)) {
				t.Errorf("%s: the kind is lost in another error", c.name)
			}
		}
	})
	if rpc.IsRPCError(nil) || rpc.IsServerError(nil) || rpc.IsClientError(nil) || rpc.IsAuthorizationError(nil) {
		t.Error("nil has a kind")
	}
}
