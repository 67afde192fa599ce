package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
	"github.com/libp2p/go-libp2p-gorpc/bench/spanpb"
)

// gRPC with structs has the codec that its users have: protobuf, by generated code.
// All else is as in grpc.go.
const (
	nameProtobuf     = "gRPC with protobuf"
	grpcSpans        = "/bench.Spans/Echo"
	spansProtocol    = "/bench/grpc/spans"
	spansServiceName = "bench.Spans"
)

var spansService = grpc.ServiceDesc{
	ServiceName: spansServiceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(spanpb.Spans)
			err := decode(in)
			return in, err
		},
	}},
}

func serveSpansGRPC(h host.Host) (func(), error) { return serveGRPCAs(h, spansProtocol, &spansService) }

func dialSpansGRPC(from host.Host, to peer.ID) (*grpc.ClientConn, error) {
	return dialGRPCAs(from, to, spansProtocol)
}

// protoSpans makes the same spans as messages.
func protoSpans(spans []rig.Span) *spanpb.Spans {
	all := new(spanpb.Spans)
	for _, s := range spans {
		p := &spanpb.Span{
			TraceId: s.TraceID, SpanId: s.SpanID, ParentId: s.ParentID, Name: s.Name, Kind: int64(s.Kind),
			Start: timestamppb.New(s.Start), End: timestamppb.New(s.End), Code: s.Code,
		}
		for _, a := range s.Attributes {
			p.Attributes = append(p.Attributes, &spanpb.Attribute{Key: a.Key, Value: a.Value})
		}
		all.Spans = append(all.Spans, p)
	}
	return all
}

// protobufContestant echoes spans by gRPC.
func protobufContestant(conn *grpc.ClientConn, callers int, spans []rig.Span) contestant {
	in := protoSpans(spans)
	call := func(check func(out *spanpb.Spans) error) func(context.Context) error {
		return func(ctx context.Context) error {
			out := new(spanpb.Spans)
			if err := conn.Invoke(ctx, grpcSpans, in, out); err != nil {
				return err
			}
			return check(out)
		}
	}
	n := len(spans)
	return contestant{
		name: nameProtobuf,
		run: rig.Parallel(callers, call(func(out *spanpb.Spans) error {
			if len(out.Spans) != n || out.Spans[n-1].Name != in.Spans[n-1].Name {
				return fmt.Errorf("a wrong reply of %d spans", len(out.Spans))
			}
			return nil
		})),
		verify: call(func(out *spanpb.Spans) error {
			if !proto.Equal(in, out) {
				return fmt.Errorf("%d spans came back that are not the %d which were sent", len(out.Spans), n)
			}
			return nil
		}),
	}
}
