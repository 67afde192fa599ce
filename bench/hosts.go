package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const (
	protocol      = "/bench/rpc"
	bufferedProto = "/bench/buffered" // the same, with buffers for streams
	rawProtocol   = "/bench/raw"      // echoes one message a stream
	pipeProtocol  = "/bench/pipe"     // echoes messages of one stream
	flushProtocol = "/bench/flush"    // echoes items as v0.6 does, flushing each
)

// Echo is the service that all cells call.
type Echo struct{}

// Bytes replies with what it was sent.
func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

// Multiply takes a pointer, as most methods do.
func (Echo) Multiply(_ context.Context, args *Args, product *int) error {
	*product = args.A * args.B
	return nil
}

// Divide takes a value.
func (Echo) Divide(_ context.Context, args Args, quotient *int) error {
	*quotient = args.A / args.B
	return nil
}

// Args is a small argument.
type Args struct{ A, B int }

// Stream replies with each item.
func (Echo) Stream(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	for item := range in {
		out <- item
	}
	return nil
}

// pair is two connected hosts, of which the second serves.
type pair struct {
	a, b   host.Host
	server *rpc.Server
	client *rpc.Client

	bufferedServer *rpc.Server
	bufferedClient *rpc.Client
}

// newPair connects two hosts over the given address, without limits: the
// cells with many callers want more streams than libp2p allows by default.
func newPair(ctx context.Context, addr string) (*pair, error) {
	var hosts [2]host.Host
	for i := range hosts {
		limits, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
		if err != nil {
			return nil, err
		}
		if hosts[i], err = libp2p.New(libp2p.ListenAddrStrings(addr), libp2p.ResourceManager(limits)); err != nil {
			return nil, err
		}
	}
	p := &pair{a: hosts[0], b: hosts[1]}
	p.server = rpc.NewServer(p.b, protocol)
	p.client = rpc.NewClient(p.a, protocol)
	p.bufferedServer = rpc.NewServer(p.b, bufferedProto, rpc.WithStreamBufferSize(64))
	p.bufferedClient = rpc.NewClient(p.a, bufferedProto)
	p.b.SetStreamHandler(rawProtocol, func(st network.Stream) {
		if echoMessage(st) != nil {
			_ = st.Reset()
			return
		}
		_ = st.Close()
	})
	p.b.SetStreamHandler(pipeProtocol, func(st network.Stream) {
		for echoMessage(st) == nil {
		}
		_ = st.Close()
	})
	p.b.SetStreamHandler(flushProtocol, echoFlushing)
	err := errors.Join(p.server.Register(Echo{}), p.bufferedServer.Register(Echo{}), p.a.Connect(ctx, peer.AddrInfo{ID: p.b.ID(), Addrs: p.b.Addrs()}))
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.bufferedClient.Close()
	_ = p.bufferedServer.Close()
	_ = p.server.Close()
	_ = p.a.Close()
	_ = p.b.Close()
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// buffer returns one of n bytes, and what gives it back.
func buffer(n int) ([]byte, func()) {
	b := buffers.Get().(*[]byte)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	return (*b)[:n], func() { buffers.Put(b) }
}

// echoMessage reads a message, with its length before it, and writes it back.
func echoMessage(st network.Stream) error {
	b, done := buffer(512 << 10)
	defer done()
	if _, err := io.ReadFull(st, b[:4]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(b)
	if _, err := io.ReadFull(st, b[4:4+n]); err != nil {
		return err
	}
	_, err := st.Write(b[:4+n])
	return err
}

// message is what echoMessage takes.
func message(size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(size)), make([]byte, size)...)
}

// echoRaw opens a stream, and sends and receives a message on it.
func (p *pair) echoRaw(ctx context.Context, msg []byte) error {
	st, err := p.a.NewStream(ctx, p.b.ID(), rawProtocol)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := st.Write(msg); err != nil {
		return err
	}
	b, done := buffer(len(msg))
	defer done()
	_, err = io.ReadFull(st, b)
	return err
}
