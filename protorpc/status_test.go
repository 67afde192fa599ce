package protorpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/protorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func detailed(t *testing.T) *status.Status {
	t.Helper()
	st, err := status.New(grpccodes.FailedPrecondition, "not now").WithDetails(
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "f", Description: "d"}}},
		&errdetails.ErrorInfo{Reason: "R", Domain: "example.org", Metadata: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStatusesThereAndBack(t *testing.T) {
	t.Parallel()
	for _, st := range []*status.Status{status.New(grpccodes.NotFound, "no such pin"), status.New(grpccodes.Unauthenticated, ""), detailed(t)} {
		err := protorpc.Error(st)
		if rpc.CodeOf(err) != codes.Code(st.Code()) {
			t.Errorf("%v: the code is %v", st, rpc.CodeOf(err))
		}
		want := proto.Clone(st.Proto()).(interface{ GetMessage() string }).GetMessage()
		if back := protorpc.Status(err); back.Code() != st.Code() || back.Message() != want && want != "" || len(back.Details()) != len(st.Details()) {
			t.Errorf("%v comes back as %v", st, back)
		}
	}
	e := &rpc.Error{Code: codes.NotFound, Message: "m", Details: map[string]string{"cid": "x", "rpc.retry-after": "1s"}}
	var back *rpc.Error
	if err := protorpc.Error(protorpc.Status(fmt.Errorf("wrapped: %w", e))); !errors.As(err, &back) || back.Code != e.Code ||
		back.Message != "wrapped: m" || fmt.Sprint(back.Details) != fmt.Sprint(e.Details) {
		t.Errorf("%#v", back)
	}
	for err, want := range map[error]grpccodes.Code{
		nil: grpccodes.OK, context.Canceled: grpccodes.Canceled, errors.New("x"): grpccodes.Unknown,
		status.Error(grpccodes.Aborted, "x"): grpccodes.Aborted,
	} {
		if got := protorpc.Status(err).Code(); got != want {
			t.Errorf("%v: %v, not %v", err, got, want)
		}
	}
	if err := protorpc.Error(status.New(grpccodes.OK, "")); err != nil {
		t.Error(err)
	}
}

type Statuses struct{ st *status.Status }

func (s Statuses) Fail(context.Context, int, *int) error { return s.st.Err() }

func (s Statuses) Wrap(context.Context, int, *int) error { return fmt.Errorf("more: %w", s.st.Err()) }

func (s Statuses) Each(_ context.Context, _ <-chan int, out chan<- int) error {
	close(out)
	return s.st.Err()
}

func TestStatusesOfMethods(t *testing.T) {
	t.Parallel()
	st := detailed(t)
	rig.OverAll(t, Statuses{st}, rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerInterceptors(protorpc.ServerStatuses)},
		Client: []rpc.ClientOption{rpc.WithClientInterceptors(protorpc.ClientStatuses)},
	}, func(t *testing.T, s rig.Setup) {
		var n int
		ctx := rig.Context(t)
		check := func(what string, err error) {
			t.Helper()
			got, ok := status.FromError(err)
			var e *rpc.Error
			if !ok || got.Code() != st.Code() || got.Message() != st.Message() || len(got.Details()) != 2 ||
				!proto.Equal(got.Details()[0].(proto.Message), st.Details()[0].(proto.Message)) || !errors.As(err, &e) || rpc.IsRPCError(err) {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		check("unary", s.Client.CallContext(ctx, s.Dest, "Svc", "Fail", 1, &n))
		args := make(chan int)
		close(args)
		check("stream", s.Client.Stream(ctx, s.Dest, "Svc", "Each", args, make(chan int)))
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "None", 1, &n); status.Code(err) != grpccodes.Unimplemented || !rpc.IsServerError(err) {
			t.Errorf("an error of the library: %v", err)
		}
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Wrap", 1, &n); status.Code(err) != st.Code() {
			t.Errorf("wrapped: %v", err)
		}
	})
}
