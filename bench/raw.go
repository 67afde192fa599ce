package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	protocolid "github.com/libp2p/go-libp2p/core/protocol"
)

// The floors: what moving the bytes takes, without an RPC. They read a whole
// message before they answer, as an RPC has to.
const (
	rawProtocol   = "/bench/raw"    // echoes one message a stream
	pipeProtocol  = "/bench/pipe"   // echoes the messages of one stream, a write each
	tagProtocol   = "/bench/tagged" // echoes tagged frames of one stream, coalesced
	itemsProtocol = "/bench/items"  // echoes items of one stream, coalesced
	largeProtocol = "/bench/large"  // writes largeReply for each byte it reads
	flushProtocol = "/bench/flush"  // echoes items as v0.6 does, flushing each
)

func serveRaw(h host.Host) {
	serve := func(p protocolid.ID, handle func(network.Stream) error) {
		h.SetStreamHandler(p, func(st network.Stream) {
			if handle(st) != nil {
				_ = st.Reset()
				return
			}
			_ = st.Close()
		})
	}
	serve(rawProtocol, func(st network.Stream) error {
		r := readers.Get().(*bufio.Reader)
		defer readers.Put(r)
		r.Reset(st)
		return echoMessage(st, r)
	})
	serve(pipeProtocol, func(st network.Stream) error {
		r := bufio.NewReaderSize(st, 4<<10)
		for {
			if err := echoMessage(st, r); err != nil {
				return ignoreEOF(err)
			}
		}
	})
	serve(tagProtocol, echoTagged)
	serve(itemsProtocol, echoItems)
	serve(largeProtocol, func(st network.Stream) error {
		var b [1]byte
		for {
			if _, err := io.ReadFull(st, b[:]); err != nil {
				return ignoreEOF(err)
			}
			if _, err := st.Write(largeReply); err != nil {
				return err
			}
		}
	})
	serve(flushProtocol, echoFlushing)
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// buffer returns one of n bytes; buffers.Put gives it back.
func buffer(n int) *[]byte {
	b := buffers.Get().(*[]byte)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return b
}

// echoMessage reads a message and writes it back.
func echoMessage(st network.Stream, r *bufio.Reader) error {
	head, err := r.Peek(4)
	if err != nil {
		return err
	}
	b := buffer(4 + int(binary.BigEndian.Uint32(head)))
	defer buffers.Put(b)
	if _, err := io.ReadFull(r, *b); err != nil {
		return err
	}
	_, err = st.Write(*b)
	return err
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// newRawCalls opens a stream for each call: what this library did before it
// had sessions, without the RPC. It is not one of the floors that ratios are
// of, since nothing obliges a system to open streams.
func newRawCalls(_ context.Context, from host.Host, to peer.ID) (system, error) {
	return system{
		name: nameRawCall,
		echo: func(ctx context.Context, m message, check func([]byte) error) error {
			st, err := from.NewStream(ctx, to, rawProtocol)
			if err != nil {
				return err
			}
			defer st.Close()
			return trip(st, m, check)
		},
		close: func() {},
	}, nil
}

// trip sends a message and receives it.
func trip(st network.Stream, m message, check func([]byte) error) error {
	if _, err := st.Write(m); err != nil {
		return err
	}
	buf := buffer(len(m))
	defer buffers.Put(buf)
	if _, err := io.ReadFull(st, *buf); err != nil {
		return err
	}
	return check((*buf)[4:])
}

// streamPool is open streams, of which a caller takes one for each call: as
// many as there are callers at once are opened, the first time.
type streamPool struct {
	from host.Host
	to   peer.ID
	mu   sync.Mutex
	free []network.Stream
}

func newStreamPool(_ context.Context, from host.Host, to peer.ID) (system, error) {
	p := &streamPool{from: from, to: to}
	return system{name: namePool, floor: true, echo: p.echo, close: p.close}, nil
}

func (p *streamPool) take(ctx context.Context) (network.Stream, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		st := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return st, nil
	}
	p.mu.Unlock()
	return p.from.NewStream(ctx, p.to, pipeProtocol)
}

func (p *streamPool) echo(ctx context.Context, m message, check func([]byte) error) error {
	st, err := p.take(ctx)
	if err != nil {
		return err
	}
	if err := trip(st, m, check); err != nil {
		_ = st.Reset()
		return err
	}
	p.mu.Lock()
	p.free = append(p.free, st)
	p.mu.Unlock()
	return nil
}

func (p *streamPool) close() {
	for _, st := range p.free {
		_ = st.Close()
	}
}
