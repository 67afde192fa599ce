package main

import (
	"context"
	"io"
	"net"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	protocolid "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// gRPC runs on one libp2p stream, as a net.Conn; libp2p encrypts already. Set
// is what its users set for large messages on a fast link:
//
//   - static windows of 4 MiB a call and 16 MiB in all, so that no call waits
//     for a window and none is spent on estimating the bandwidth;
//   - messages up to 16 MiB;
//   - a codec that takes bytes as they are, and copies them only when received.
//
// All else has its defaults: 32 KiB of buffers for reading and for writing,
// and as many calls at once as come.
const (
	grpcProtocol = "/bench/grpc"
	grpcBytes    = "/bench.Echo/Bytes"
	grpcStream   = "/bench.Echo/Stream"

	grpcCallWindow = 4 << 20
	grpcConnWindow = 16 << 20
	grpcMessage    = 16 << 20
)

// grpcCodec is of *[]byte.
type grpcCodec struct{}

func (grpcCodec) Name() string { return "bytes" }

func (grpcCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (grpcCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var grpcService = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Bytes",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in []byte
			if err := decode(&in); err != nil {
				return nil, err
			}
			out := answer(in)
			return &out, nil
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Stream", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, st grpc.ServerStream) error {
			for {
				var item []byte
				if err := st.RecvMsg(&item); err != nil {
					return ignoreEOF(err)
				}
				if err := st.SendMsg(&item); err != nil {
					return err
				}
			}
		},
	}},
}

func serveGRPC(h host.Host) (func(), error) {
	return serveGRPCAs(h, grpcProtocol, &grpcService, grpc.ForceServerCodecV2(grpcCodec{}))
}

// serveGRPCAs serves a service under a protocol of its own.
func serveGRPCAs(h host.Host, p protocolid.ID, service *grpc.ServiceDesc, opts ...grpc.ServerOption) (func(), error) {
	l, err := gostream.Listen(h, p)
	if err != nil {
		return nil, err
	}
	s := grpc.NewServer(append(opts, grpc.StaticStreamWindowSize(grpcCallWindow), grpc.StaticConnWindowSize(grpcConnWindow),
		grpc.MaxRecvMsgSize(grpcMessage))...)
	s.RegisterService(service, nil)
	go func() { _ = s.Serve(l) }()
	return s.Stop, nil
}

func dialGRPC(from host.Host, to peer.ID) (*grpc.ClientConn, error) {
	return dialGRPCAs(from, to, grpcProtocol, grpcBare)
}

// grpcBare makes a client send and take bytes as they are.
var grpcBare = grpc.WithDefaultCallOptions(grpc.ForceCodecV2(grpcCodec{}))

// dialGRPCAs reaches what serveGRPCAs serves.
func dialGRPCAs(from host.Host, to peer.ID, p protocolid.ID, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+to.String(), append(opts,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return gostream.Dial(ctx, from, to, p)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(grpcCallWindow), grpc.WithStaticConnWindowSize(grpcConnWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(grpcMessage)))...)
}

func newGRPC(_ context.Context, from host.Host, to peer.ID) (system, error) {
	conn, err := dialGRPC(from, to)
	if err != nil {
		return system{}, err
	}
	return grpcSystem(nameGRPC, conn), nil
}

func grpcSystem(name string, conn *grpc.ClientConn) system {
	return system{
		name: name,
		echo: func(ctx context.Context, m message, check func([]byte) error) error {
			in, out := m.body(), []byte(nil)
			if err := conn.Invoke(ctx, grpcBytes, &in, &out); err != nil {
				return err
			}
			return check(out)
		},
		close: func() { _ = conn.Close() },
	}
}

// streamGRPC echoes n items in one call.
func streamGRPC(ctx context.Context, conn *grpc.ClientConn, item []byte, n int, check func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := conn.NewStream(ctx, &grpcService.Streams[0], grpcStream)
	if err != nil {
		return err
	}
	return rig.Duplex(func() error {
		for range n {
			if err := st.SendMsg(&item); err != nil {
				return err
			}
		}
		return st.CloseSend()
	}, func() error {
		for got := 0; ; got++ {
			var reply []byte
			if err := st.RecvMsg(&reply); err == io.EOF {
				return rig.Complete(got, n)
			} else if err != nil {
				return err
			}
			if err := check(reply); err != nil {
				return err
			}
		}
	}, cancel)
}
