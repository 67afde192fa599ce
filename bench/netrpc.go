package main

import (
	"context"
	"net/rpc"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// net/rpc runs on one libp2p stream, with gob, which it uses unless told
// otherwise. It has nothing to set, and its calls no context.
const netrpcProtocol = "/bench/netrpc"

// NetEcho is net/rpc's service.
type NetEcho struct{}

// Bytes replies with what it was sent.
func (NetEcho) Bytes(in []byte, out *[]byte) error {
	*out = answer(in)
	return nil
}

// Spans replies with what it was sent.
func (NetEcho) Spans(in []rig.Span, out *[]rig.Span) error {
	*out = in
	return nil
}

func serveNetRPC(h host.Host) (func(), error) {
	s := rpc.NewServer()
	if err := s.RegisterName("Echo", NetEcho{}); err != nil {
		return nil, err
	}
	l, err := gostream.Listen(h, netrpcProtocol)
	if err != nil {
		return nil, err
	}
	go func() { // rpc.Server's Accept, without a line in the log at the end
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(conn)
		}
	}()
	return func() { _ = l.Close() }, nil
}

func newNetRPC(ctx context.Context, from host.Host, to peer.ID) (system, error) {
	conn, err := gostream.Dial(ctx, from, to, netrpcProtocol)
	if err != nil {
		return system{}, err
	}
	client := rpc.NewClient(conn)
	return system{
		name: nameNetRPC,
		echo: func(_ context.Context, m message, check func([]byte) error) error {
			var out []byte
			if err := client.Call("Echo.Bytes", m.body(), &out); err != nil {
				return err
			}
			return check(out)
		},
		close: func() { _ = client.Close() },
	}, nil
}
