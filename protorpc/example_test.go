package protorpc_test

import (
	"context"
	"fmt"

	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/protorpc"
)

// A method that takes and returns messages, and whose errors are gRPC's.
func Example() {
	since := rpc.NewMethod[*timestamppb.Timestamp, *durationpb.Duration]("Clock", "SinceEpoch")

	server := rpc.NewServer(nil, "/clock", rpc.WithServerInterceptors(protorpc.ServerStatuses))
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/clock", server, rpc.WithClientInterceptors(protorpc.ClientStatuses))
	defer client.Close()
	err := since.Handle(server, func(_ context.Context, at *timestamppb.Timestamp) (*durationpb.Duration, error) {
		if at.GetSeconds() < 0 {
			return nil, status.Error(grpccodes.OutOfRange, "before the epoch")
		}
		return &durationpb.Duration{Seconds: at.GetSeconds()}, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	d, err := since.Call(ctx, client, "", &timestamppb.Timestamp{Seconds: 42})
	fmt.Println(d.AsDuration(), err)
	_, err = since.Call(ctx, client, "", &timestamppb.Timestamp{Seconds: -1})
	fmt.Println(status.Code(err), err)

	// Output:
	// 42s <nil>
	// OutOfRange before the epoch
}
