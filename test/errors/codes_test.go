package errors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestEveryCodeTravels(t *testing.T) {
	t.Parallel()
	svc := rig.Failing{Errs: make(map[string]func(context.Context) error)}
	all := []codes.Code{17, 1 << 10} // of a later version
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		all = append(all, c)
	}
	for _, c := range all {
		svc.Errs[c.String()] = rig.AlwaysErr(&rpc.Error{Code: c, Message: "text"})
	}
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, c := range all {
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
		code codes.Code
		name string
	}{
		{codes.OK, "OK"}, {codes.Canceled, "Canceled"}, {codes.Unknown, "Unknown"},
		{codes.InvalidArgument, "InvalidArgument"}, {codes.DeadlineExceeded, "DeadlineExceeded"},
		{codes.NotFound, "NotFound"}, {codes.AlreadyExists, "AlreadyExists"},
		{codes.PermissionDenied, "PermissionDenied"}, {codes.ResourceExhausted, "ResourceExhausted"},
		{codes.FailedPrecondition, "FailedPrecondition"}, {codes.Aborted, "Aborted"},
		{codes.OutOfRange, "OutOfRange"}, {codes.Unimplemented, "Unimplemented"},
		{codes.Internal, "Internal"}, {codes.Unavailable, "Unavailable"},
		{codes.DataLoss, "DataLoss"}, {codes.Unauthenticated, "Unauthenticated"},
		{17, "Code(17)"},
	} {
		if c.code != codes.Code(i) || c.code.String() != c.name {
			t.Errorf("%d is %v, not %s", c.code, c.code, c.name)
		}
	}
	if s := codes.Code(1<<32 - 1).String(); s != "Code(4294967295)" {
		t.Errorf("the greatest code is %s", s)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{nil, codes.OK},
		{errPlain, codes.Unknown},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{fmt.Errorf("x: %w", context.Canceled), codes.Canceled},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		{rig.ErrOwn, codes.NotFound},
		{fmt.Errorf("x: %w", rig.ErrOwn), codes.NotFound},
		{errors.Join(errPlain, rig.ErrOwn), codes.NotFound},
		{errors.Join(context.Canceled, rig.ErrOwn), codes.NotFound},
		{&rpc.Error{}, codes.Unknown},
		{fmt.Errorf("%w: %w", &rpc.Error{}, context.Canceled), codes.Canceled},
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
			code codes.Code
		}
		cases := []want{
			{"no service", call("None", "X", 1), rpc.ServerErr, codes.Unimplemented},
			{"no method", call("Svc", "None", 1), rpc.ServerErr, codes.Unimplemented},
			{"other argument", call("Svc", "Multiply", "x"), rpc.ServerErr, codes.InvalidArgument},
			{"nil argument", call("Svc", "Multiply", nil), rpc.ServerErr, codes.InvalidArgument},
		}
		if s.Dest != s.Sender {
			cases = append(cases, want{"denied", call("Svc", "Denied", 1), rpc.AuthorizationErr, codes.PermissionDenied})
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
