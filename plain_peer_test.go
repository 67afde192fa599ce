package rpc_test

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

// plainServer serves, on h, a method that replies with the bytes of its argument.
func plainServer(t testing.TB, h host.Host) {
	h.SetStreamHandler(testProtocol, func(st network.Stream) {
		var head struct{ Name, Method string }
		var arg []byte
		d := codec.NewDecoder(st, new(codec.MsgpackHandle))
		if d.Decode(&head) != nil || d.Decode(&arg) != nil {
			_ = st.Reset()
			return
		}
		_, err := st.Write(cat("\x81", str("Service"), string(header(head.Name, head.Method))))
		if err == nil {
			_, err = st.Write(plainBytes(arg))
		}
		if err != nil {
			_ = st.Reset()
			return
		}
		_ = st.Close()
	})
	t.Cleanup(func() { h.RemoveStreamHandler(testProtocol) })
}

// plainBytes is the encoding of bytes that are longer than 65,535.
func plainBytes(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(len(b))), b...)
}

// plainCall is one that a plain client makes. It reads nothing before it has sent
// the argument.
type plainCall struct{ st network.Stream }

// plainClient opens a call from h.
func plainClient(ctx context.Context, h host.Host, dest peer.ID, svc, method string) (*plainCall, error) {
	st, err := h.NewStream(ctx, dest, testProtocol)
	if err == nil {
		_, err = st.Write(header(svc, method))
	}
	return &plainCall{st}, err
}

// send sends a part of the argument's encoding.
func (c *plainCall) send(b []byte) error {
	_, err := c.st.Write(b)
	return err
}

// reply returns the reply, of bytes, or the error.
func (c *plainCall) reply() (b []byte, err error) {
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
