package main

import (
	"context"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmanager"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcpool"
	"storj.io/drpc/drpcserver"
	"storj.io/drpc/drpcwire"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// A DRPC connection takes one call at a time, so DRPC has its own pool of
// them, each on a libp2p stream, without bounds: as many as there are callers
// stay open, and a call takes one that is free. Messages may have 16 MiB. All
// else has its defaults; an item of a stream is flushed when it is sent. The
// encoding appends bytes to DRPC's buffer, and copies them out of it.
const (
	drpcProtocol = "/bench/drpc"
	drpcBytes    = "/bench.Echo/Bytes"
	drpcStream   = "/bench.Echo/Stream"
)

var drpcOptions = drpcmanager.Options{Reader: drpcwire.ReaderOptions{MaximumBufferSize: 16 << 20}}

// drpcMessage is what the encoding is of.
type drpcMessage struct{ b []byte }

type drpcEncoding struct{}

func (drpcEncoding) Marshal(m drpc.Message) ([]byte, error) { return m.(*drpcMessage).b, nil }

func (drpcEncoding) MarshalAppend(buf []byte, m drpc.Message) ([]byte, error) {
	return append(buf, m.(*drpcMessage).b...), nil
}

func (drpcEncoding) Unmarshal(buf []byte, m drpc.Message) error {
	to := m.(*drpcMessage)
	to.b = append(to.b[:0], buf...)
	return nil
}

// drpcEcho is the service.
type drpcEcho struct{}

func (drpcEcho) Bytes(_ context.Context, in *drpcMessage) (*drpcMessage, error) {
	return &drpcMessage{answer(in.b)}, nil
}

func (drpcEcho) Stream(st drpc.Stream) error {
	var item drpcMessage
	for {
		if err := st.MsgRecv(&item, drpcEncoding{}); err != nil {
			return ignoreEOF(err)
		}
		if err := st.MsgSend(&item, drpcEncoding{}); err != nil {
			return err
		}
	}
}

type drpcService struct{}

func (drpcService) NumMethods() int { return 2 }

func (drpcService) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	switch n {
	case 0:
		return drpcBytes, drpcEncoding{}, func(srv any, ctx context.Context, in, _ any) (drpc.Message, error) {
			return srv.(drpcEcho).Bytes(ctx, in.(*drpcMessage))
		}, drpcEcho.Bytes, true
	case 1:
		return drpcStream, drpcEncoding{}, func(srv any, _ context.Context, in, _ any) (drpc.Message, error) {
			return nil, srv.(drpcEcho).Stream(in.(drpc.Stream))
		}, drpcEcho.Stream, true
	}
	return "", nil, nil, nil, false
}

func serveDRPC(h host.Host) (func(), error) {
	mux := drpcmux.New()
	if err := mux.Register(drpcEcho{}, drpcService{}); err != nil {
		return nil, err
	}
	l, err := gostream.Listen(h, drpcProtocol)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = drpcserver.NewWithOptions(mux, drpcserver.Options{Manager: drpcOptions}).Serve(ctx, l)
	}()
	return func() {
		cancel()
		<-served
	}, nil
}

// dialDRPC returns a pool's connection, which is many.
func dialDRPC(ctx context.Context, from host.Host, to peer.ID) (drpc.Conn, func()) {
	pool := drpcpool.New[peer.ID, drpcpool.Conn](drpcpool.Options{})
	conn := pool.Get(ctx, to, func(ctx context.Context, to peer.ID) (drpcpool.Conn, error) {
		st, err := gostream.Dial(ctx, from, to, drpcProtocol)
		if err != nil {
			return nil, err
		}
		return drpcconn.NewWithOptions(st, drpcconn.Options{Manager: drpcOptions}), nil
	})
	return conn, func() { _ = pool.Close() }
}

func newDRPC(ctx context.Context, from host.Host, to peer.ID) (system, error) {
	conn, done := dialDRPC(ctx, from, to)
	return system{
		name: nameDRPC,
		echo: func(ctx context.Context, m message, check func([]byte) error) error {
			in, out := drpcMessage{m.body()}, drpcMessage{}
			if err := conn.Invoke(ctx, drpcBytes, drpcEncoding{}, &in, &out); err != nil {
				return err
			}
			return check(out.b)
		},
		close: done,
	}, nil
}

// streamDRPC echoes n items in one call.
func streamDRPC(ctx context.Context, conn drpc.Conn, item []byte, n int, check func([]byte) error) error {
	st, err := conn.NewStream(ctx, drpcStream, drpcEncoding{})
	if err != nil {
		return err
	}
	defer st.Close()
	return rig.Duplex(func() error {
		out := &drpcMessage{item}
		for range n {
			if err := st.MsgSend(out, drpcEncoding{}); err != nil {
				return err
			}
		}
		return st.CloseSend()
	}, func() error {
		for got := 0; ; got++ {
			var reply drpcMessage
			if err := st.MsgRecv(&reply, drpcEncoding{}); errors.Is(err, io.EOF) {
				return rig.Complete(got, n)
			} else if err != nil {
				return err
			}
			if err := check(reply.b); err != nil {
				return err
			}
		}
	}, func() { _ = st.Close() })
}
