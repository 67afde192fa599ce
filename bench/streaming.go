package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	protocolid "github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

const (
	itemWrites    = "floor: raw bytes, an item a write"
	itemCoalesced = "floor: raw bytes, coalesced"
	itemOurs      = "this library, Stream"
	itemBuffered  = "this library, Stream, buffers of 64"
	itemTyped     = "this library, typed"
	itemFlushing  = "flushing each item, as v0.6"
	itemGRPC      = "gRPC, stream both ways"
	itemDRPC      = "DRPC, stream both ways"
)

// streamer has n items echoed, and hands each reply to check.
type streamer func(ctx context.Context, n int, check func([]byte) error) error

// contestant is the streamer as one of a cell's, whose replies are to equal item.
func (s streamer) contestant(name string, floor bool, item []byte) contestant {
	return contestant{
		name: name, floor: floor,
		run: func(ctx context.Context, n int) error {
			return s(ctx, n, func(reply []byte) error {
				if len(reply) != len(item) || reply[0] != item[0] || reply[len(reply)-1] != item[len(item)-1] {
					return fmt.Errorf("a wrong item of %d bytes", len(reply))
				}
				return nil
			})
		},
		verify: func(ctx context.Context) error {
			right := 0
			err := s(ctx, 3, func(reply []byte) error {
				if bytes.Equal(reply, item) {
					right++
				}
				return nil
			})
			return errors.Join(err, rig.Complete(right, 3))
		},
	}
}

// streaming compares the items of one streaming call, echoed, with raw bytes
// echoed on one stream, and with flushing each item.
func streaming(ctx context.Context) ([]cell, func(), error) {
	p, err := newPair(ctx, rig.OverTCP)
	if err != nil {
		return nil, nil, err
	}
	client, buffered := rpc.NewClient(p.a, protocol), rpc.NewClient(p.a, bufferedProto)
	grpcConn, err := dialGRPC(p.a, p.b.ID())
	if err != nil {
		p.close()
		return nil, nil, err
	}
	drpcConn, drpcClose := dialDRPC(ctx, p.a, p.b.ID())
	var cells []cell
	for _, size := range []int{64, 64 << 10} {
		m := newMessage(size)
		item := m.body()
		add := func(c *cell, name string, floor bool, run streamer) {
			c.contestants = append(c.contestants, run.contestant(name, floor, item))
		}
		c := cell{name: "items of " + bytesText(size), bytes: size}
		add(&c, itemWrites, true, func(ctx context.Context, n int, check func([]byte) error) error {
			return p.pipe(ctx, pipeProtocol, 0, m, n, check)
		})
		add(&c, itemCoalesced, true, func(ctx context.Context, n int, check func([]byte) error) error {
			return p.pipe(ctx, itemsProtocol, itemsBuffer, m, n, check)
		})
		add(&c, itemOurs, false, func(ctx context.Context, n int, check func([]byte) error) error {
			return rig.StreamItems(ctx, client, p.b.ID(), "Stream", item, 0, n, check)
		})
		add(&c, itemBuffered, false, func(ctx context.Context, n int, check func([]byte) error) error {
			return rig.StreamItems(ctx, buffered, p.b.ID(), "Stream", item, 64, n, check)
		})
		add(&c, itemTyped, false, func(ctx context.Context, n int, check func([]byte) error) error {
			return rig.TypedItems(ctx, client, p.b.ID(), typedStream, item, n, check)
		})
		add(&c, itemFlushing, false, func(ctx context.Context, n int, check func([]byte) error) error {
			return p.flushing(ctx, item, n, check)
		})
		add(&c, itemGRPC, false, func(ctx context.Context, n int, check func([]byte) error) error {
			return streamGRPC(ctx, grpcConn, item, n, check)
		})
		add(&c, itemDRPC, false, func(ctx context.Context, n int, check func([]byte) error) error {
			return streamDRPC(ctx, drpcConn, item, n, check)
		})
		cells = append(cells, c)
	}
	return cells, func() {
		_ = client.Close()
		_ = buffered.Close()
		_ = grpcConn.Close()
		drpcClose()
		p.close()
	}, nil
}

// both writes and reads a new stream at once.
func (p *pair) both(ctx context.Context, proto protocolid.ID, write, read func(network.Stream) error) error {
	st, err := p.a.NewStream(ctx, p.b.ID(), proto)
	if err != nil {
		return err
	}
	defer st.Close()
	return rig.Duplex(func() error {
		if err := write(st); err != nil {
			return err
		}
		return st.CloseWrite()
	}, func() error { return read(st) }, func() { _ = st.Reset() })
}

// itemsBuffer is how many bytes of items are coalesced.
const itemsBuffer = 32 << 10

// pipe echoes n raw messages on one stream, through a buffer or an item a
// write.
func (p *pair) pipe(ctx context.Context, proto protocolid.ID, buffer int, msg message, n int, check func([]byte) error) error {
	return p.both(ctx, proto, func(st network.Stream) error {
		var w io.Writer = st
		flush := func() error { return nil }
		if buffer > 0 {
			buffered := bufio.NewWriterSize(st, buffer)
			w, flush = buffered, buffered.Flush
		}
		for range n {
			if _, err := w.Write(msg); err != nil {
				return err
			}
		}
		return flush()
	}, func(st network.Stream) error {
		r := bufio.NewReaderSize(st, itemsBuffer)
		b := make([]byte, len(msg))
		for range n {
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			if err := check(b[4:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// echoItems answers items, and flushes when there is none to read.
func echoItems(st network.Stream) error {
	r, w := bufio.NewReaderSize(st, itemsBuffer), bufio.NewWriterSize(st, itemsBuffer)
	var item []byte
	for {
		if r.Buffered() < 4 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
		head, err := r.Peek(4)
		if err != nil {
			return ignoreEOF(err)
		}
		n := 4 + int(binary.BigEndian.Uint32(head))
		if cap(item) < n {
			item = make([]byte, n)
		}
		if _, err := io.ReadFull(r, item[:n]); err != nil {
			return err
		}
		if _, err := w.Write(item[:n]); err != nil {
			return err
		}
	}
}
