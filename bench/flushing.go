package main

import (
	"bufio"
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// oldHandle is the codec's as v0.6 has it, but for a buffer without which this
// release of the codec keeps all that it has read.
func oldHandle() *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	h.ReaderBufferSize = 4 << 10
	return h
}

// flushing echoes n items the way that v0.6 does: a header before each reply,
// everything through the codec, and a flush after each item.
func (p *pair) flushing(ctx context.Context, item []byte, n int, check func([]byte) error) error {
	return p.both(ctx, flushProtocol, func(st network.Stream) error {
		w := bufio.NewWriter(st)
		enc := codec.NewEncoder(w, oldHandle())
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
		for range n {
			var reply []byte
			if err := dec.Decode(&head); err != nil {
				return err
			}
			if err := dec.Decode(&reply); err != nil {
				return err
			}
			if err := check(reply); err != nil {
				return err
			}
		}
		return nil
	})
}

// echoFlushing is the other side of flushing.
func echoFlushing(st network.Stream) error {
	dec := codec.NewDecoder(st, oldHandle())
	w := bufio.NewWriter(st)
	enc := codec.NewEncoder(w, oldHandle())
	head := map[string]any{"Service": map[string]string{"Name": "Echo", "Method": "Stream"}}
	for {
		var item []byte
		if dec.Decode(&item) != nil || enc.Encode(head) != nil || enc.Encode(item) != nil || w.Flush() != nil {
			return nil
		}
	}
}
