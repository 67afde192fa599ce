package rig

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/ugorji/go/codec"
)

// A peer as v0.6 is: it serves the plain protocol and nothing else, reserves no
// memory, and reads and writes without a limit. It is written from docs/wire.md.

// PlainServer serves, on h, a method that replies with the bytes of its argument.
func PlainServer(t testing.TB, h host.Host) {
	h.SetStreamHandler(Protocol, func(st network.Stream) {
		var head struct{ Name, Method string }
		var arg []byte
		d := codec.NewDecoder(st, new(codec.MsgpackHandle))
		if d.Decode(&head) != nil || d.Decode(&arg) != nil {
			_ = st.Reset()
			return
		}
		_, err := st.Write(Cat("\x81", Str("Service"), string(Header(head.Name, head.Method))))
		if err == nil {
			_, err = st.Write(PlainBytes(arg))
		}
		if err != nil {
			_ = st.Reset()
			return
		}
		_ = st.Close()
	})
	t.Cleanup(func() { h.RemoveStreamHandler(Protocol) })
}

// PlainBytes is the encoding of bytes that are longer than 65,535.
func PlainBytes(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(len(b))), b...)
}

// PlainCall is one that a plain client makes. It reads nothing before it has sent
// the argument.
type PlainCall struct{ st network.Stream }

// PlainClient opens a call from h.
func PlainClient(ctx context.Context, h host.Host, dest peer.ID, svc, method string) (*PlainCall, error) {
	st, err := h.NewStream(ctx, dest, Protocol)
	if err == nil {
		_, err = st.Write(Header(svc, method))
	}
	return &PlainCall{st}, err
}

// Send sends a part of the argument's encoding.
func (c *PlainCall) Send(b []byte) error {
	_, err := c.st.Write(b)
	return err
}

// Reply returns the reply, of bytes, or the error.
func (c *PlainCall) Reply() (b []byte, err error) {
	var head struct{ Error string }
	d := codec.NewDecoder(c.st, new(codec.MsgpackHandle))
	if err = d.Decode(&head); err != nil {
		return nil, fmt.Errorf("no response: %w", err)
	}
	if head.Error != "" {
		_ = c.st.Reset()
		return nil, errors.New(head.Error)
	}
	if err = d.Decode(&b); err == nil {
		_, err = io.Copy(io.Discard, c.st)
	}
	_ = c.st.Close() // QUIC may have been told that nobody reads on
	return b, err
}

// Reset ends the call's stream.
func (c *PlainCall) Reset() { _ = c.st.Reset() }
