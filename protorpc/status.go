package protorpc

import (
	"context"
	"errors"
	"maps"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

const (
	// detailStatus is the key of an error's details that a status with details of its
	// own is under, as bytes: gRPC's name for the same.
	detailStatus = "grpc-status-details-bin"

	// domain is the ErrorInfo's that carries an error's other details in a status.
	domain = "go-libp2p-gorpc"
)

// Status returns the gRPC status that stands for the error of a call, or of a method:
// its code, its message, and its details. Those that a status brought with it are
// what they were; others are the metadata of an ErrorInfo. That of nil is OK. An error
// of gRPC's own has its own.
func Status(err error) *status.Status {
	if err == nil {
		return status.New(grpccodes.OK, "")
	}
	var e *rpc.Error
	if !errors.As(err, &e) {
		var own interface{ GRPCStatus() *status.Status }
		if errors.As(err, &own) {
			return own.GRPCStatus()
		}
		return status.New(grpccodes.Code(rpc.CodeOf(err)), err.Error())
	}
	p := &spb.Status{Code: int32(rpc.CodeOf(err)), Message: err.Error()}
	var came spb.Status
	if b, ok := e.Details[detailStatus]; ok && proto.Unmarshal([]byte(b), &came) == nil {
		p.Details = came.Details
	}
	st := status.FromProto(p)
	others := maps.Clone(e.Details)
	delete(others, detailStatus)
	if len(others) == 0 {
		return st
	}
	with, err := st.WithDetails(&errdetails.ErrorInfo{Reason: e.Code.String(), Domain: domain, Metadata: others})
	if err != nil { // a text that is no UTF-8
		return st
	}
	return with
}

// Error returns the error that stands for a status, for a method to return: an
// [*rpc.Error] with its code, message and details. It is nil for OK.
func Error(st *status.Status) error {
	if st.Code() == grpccodes.OK {
		return nil
	}
	e := &rpc.Error{Code: codes.Code(st.Code()), Message: st.Message()}
	p := st.Proto()
	kept := p.Details[:0:0]
	for _, d := range p.Details {
		info := new(errdetails.ErrorInfo)
		if d.MessageIs(info) && d.UnmarshalTo(info) == nil && info.Domain == domain {
			e.Details = info.Metadata
			continue
		}
		kept = append(kept, d)
	}
	if len(kept) > 0 {
		p.Details = kept
		if b, err := proto.Marshal(p); err == nil {
			if e.Details == nil {
				e.Details = make(map[string]string)
			}
			e.Details[detailStatus] = string(b)
		}
	}
	return e
}

// ServerStatuses is an interceptor of a server whose methods return gRPC's errors
// (status.Error): callers get their code, message and details.
func ServerStatuses(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		err := next(ctx, call)
		var e *rpc.Error
		if err == nil || errors.As(err, &e) {
			return err
		}
		var own interface{ GRPCStatus() *status.Status }
		if !errors.As(err, &own) {
			return err
		}
		return Error(own.GRPCStatus())
	}
}

// ClientStatuses is an interceptor of a client whose callers look at errors as gRPC's:
// status.FromError and status.Code find their status. They stay what they are
// otherwise: errors.Is and errors.As find all that they found before.
func ClientStatuses(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		err := next(ctx, call)
		if err == nil {
			return nil
		}
		return &statusError{err, Status(err)}
	}
}

// statusError is an error with a status.
type statusError struct {
	error
	status *status.Status
}

func (e *statusError) Unwrap() error { return e.error }

// GRPCStatus is what package status looks for.
func (e *statusError) GRPCStatus() *status.Status { return e.status }
