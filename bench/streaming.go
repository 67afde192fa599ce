package main

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// streaming compares the items of one streaming call, echoed, with raw bytes
// echoed on one stream, and with flushing each item.
func streaming(ctx context.Context, addr string) ([]cell, func(), error) {
	p, err := newPair(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	var cells []cell
	for _, size := range []int{64, 64 << 10} {
		cells = append(cells, cell{"items of " + bytesText(size), size, []contestant{
			{"raw bytes, an item a write", func(ctx context.Context, n int) error { return p.pipe(ctx, message(size), n) }},
			{"Stream", func(ctx context.Context, n int) error { return p.stream(ctx, p.client, size, 0, n) }},
			{"Stream, buffers of 64 on both sides", func(ctx context.Context, n int) error { return p.stream(ctx, p.bufferedClient, size, 64, n) }},
			{"flushing each item", func(ctx context.Context, n int) error { return p.flushing(ctx, size, n) }},
		}})
	}
	return cells, p.close, nil
}

// stream echoes n items in one call.
func (p *pair) stream(ctx context.Context, client *rpc.Client, size, buffer, n int) error {
	args, replies := make(chan []byte, buffer), make(chan []byte, buffer)
	go func() {
		defer close(args)
		item := make([]byte, size)
		for range n {
			select {
			case args <- item:
			case <-ctx.Done():
				return
			}
		}
	}()
	result := make(chan error, 1)
	go func() { result <- client.Stream(ctx, p.b.ID(), "Echo", "Stream", args, replies) }()
	got := 0
	for item := range replies {
		if len(item) == size {
			got++
		}
	}
	if err := <-result; err != nil {
		return err
	}
	return complete(got, n)
}

func complete(got, n int) error {
	if got != n {
		return fmt.Errorf("%d items came back, not %d", got, n)
	}
	return nil
}

// pipe echoes n raw messages on one stream.
func (p *pair) pipe(ctx context.Context, msg []byte, n int) error {
	return p.both(ctx, pipeProtocol, func(st network.Stream) error {
		for range n {
			if _, err := st.Write(msg); err != nil {
				return err
			}
		}
		return nil
	}, func(st network.Stream) error {
		b := make([]byte, len(msg))
		for range n {
			if _, err := io.ReadFull(st, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// both writes and reads a new stream at once.
func (p *pair) both(ctx context.Context, proto string, write, read func(network.Stream) error) error {
	st, err := p.a.NewStream(ctx, p.b.ID(), pid(proto))
	if err != nil {
		return err
	}
	defer st.Close()
	sent := make(chan error, 1)
	go func() {
		err := write(st)
		if err == nil {
			err = st.CloseWrite()
		}
		sent <- err
	}()
	if err := read(st); err != nil {
		_ = st.Reset()
		<-sent
		return err
	}
	return <-sent
}

// oldHandle is the codec's as v0.6 has it, but for a buffer without which this
// release of the codec keeps all that it has read.
func oldHandle() *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	h.ReaderBufferSize = 4 << 10
	return h
}

// flushing echoes n items the way that v0.6 does: a header before each reply,
// everything through the codec, and a flush after each item.
func (p *pair) flushing(ctx context.Context, size, n int) error {
	return p.both(ctx, flushProtocol, func(st network.Stream) error {
		w := bufio.NewWriter(st)
		enc := codec.NewEncoder(w, oldHandle())
		item := make([]byte, size)
		for range n {
			if err := enc.Encode(item); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
		return nil
	}, func(st network.Stream) error {
		dec := codec.NewDecoder(st, oldHandle())
		var head rpc.Response
		got := 0
		for range n {
			var item []byte
			if err := dec.Decode(&head); err != nil {
				return err
			}
			if err := dec.Decode(&item); err != nil {
				return err
			}
			if len(item) == size {
				got++
			}
		}
		return complete(got, n)
	})
}

// echoFlushing is the other side of flushing.
func echoFlushing(st network.Stream) {
	dec := codec.NewDecoder(st, oldHandle())
	w := bufio.NewWriter(st)
	enc := codec.NewEncoder(w, oldHandle())
	head := map[string]any{"Service": map[string]string{"Name": "Echo", "Method": "Stream"}}
	for {
		var item []byte
		if dec.Decode(&item) != nil || enc.Encode(head) != nil || enc.Encode(item) != nil || w.Flush() != nil {
			break
		}
	}
	_ = st.Close()
}
