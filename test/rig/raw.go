package rig

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// What the tests of hostile and broken peers have in common: a stream is
// written and read by hand on one side, and the library is on the other.

// Extended is the protocol by which two sides of this library talk.
const Extended = Protocol + "/3"

// Sessions is the protocol of sessions.
const Sessions = Protocol + "/session/2"

// Open returns a stream to b's server for the test to write by hand.
func Open(t testing.TB, a, b host.Host, p protocol.ID) network.Stream {
	t.Helper()
	st, err := a.NewStream(Context(t), b.ID(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Reset() })
	_ = st.SetDeadline(time.Now().Add(patience))
	return st
}

// Write writes b, which the other side is to take.
func Write(t testing.TB, st network.Stream, b []byte) {
	t.Helper()
	if _, err := st.Write(b); err != nil {
		t.Fatal(err)
	}
}

// Flood writes zeros, each of them a msgpack value, until the other side stops
// it or there were n, and returns how many went.
func Flood(st network.Stream, n int) int {
	chunk, sent := make([]byte, 32<<10), 0
	for sent < n {
		w, err := st.Write(chunk[:min(len(chunk), n-sent)])
		if sent += w; err != nil {
			break
		}
	}
	return sent
}

// Header is the header of a request, as v0.6 writes it.
func Header(svc, method string) []byte {
	return Cat("\x82", Str("Name"), Str(svc), Str("Method"), Str(method))
}

// Str is a msgpack string, as v0.6 writes it.
func Str(s string) string {
	switch n := len(s); {
	case n < 32:
		return string([]byte{0xa0 | byte(n)}) + s
	case n < 1<<16:
		return string(binary.BigEndian.AppendUint16([]byte{0xda}, uint16(n))) + s
	default:
		return string(binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(n))) + s
	}
}

// Cat is all of them, one after the other.
func Cat[B ~string | ~[]byte](first B, more ...string) []byte {
	b := []byte(first)
	for _, s := range more {
		b = append(b, s...)
	}
	return b
}

// Settings is what each side of a session begins with, at least.
var Settings = []byte{1, 1}

// Frame appends a frame of a session to b: docs/session.md.
func Frame(b []byte, kind byte, numbers []uint64, body []byte) []byte {
	head := []byte{kind}
	for _, n := range numbers {
		head = binary.AppendUvarint(head, n)
	}
	b = binary.AppendUvarint(b, uint64(len(head)+len(body)))
	return append(append(b, head...), body...)
}

// Answer is a response as it is on the wire, and the value after it.
type Answer struct {
	rpc.Response
	Code  int
	Value any
}

// Answers takes what a server wrote apart.
func Answers(t testing.TB, b []byte) []Answer {
	t.Helper()
	d := codec.NewDecoderBytes(b, new(codec.MsgpackHandle))
	var all []Answer
	for d.NumBytesRead() < len(b) {
		var head struct {
			Service rpc.ServiceID
			Error   string
			ErrType rpc.ErrorType
			Code    int
		}
		err := d.Decode(&head)
		a := Answer{Response: rpc.Response{Service: head.Service, Error: head.Error, ErrType: head.ErrType}, Code: head.Code}
		if err == nil {
			err = d.Decode(&a.Value)
		}
		if err != nil {
			t.Fatalf("no sequence of responses: %v: %.200q", err, b)
		}
		all = append(all, a)
	}
	return all
}

// Refusal reads to the end of the stream and expects one error, with nothing
// beside it.
func Refusal(t testing.TB, st io.Reader) Answer {
	t.Helper()
	b, err := io.ReadAll(st)
	if err != nil {
		t.Fatalf("%v after %.200q", err, b)
	}
	all := Answers(t, b)
	if len(all) != 1 || all[0].Error == "" || all[0].Value != nil {
		t.Fatalf("not one error: %.500q", b)
	}
	return all[0]
}

// Play makes b a server of v0.6's protocol that reads a request of n bytes
// and then does what f does.
func Play(b host.Host, n int, f func(network.Stream)) {
	b.SetStreamHandler(Protocol, func(st network.Stream) {
		defer st.Close()
		_ = st.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(st, make([]byte, n)); err == nil {
			f(st)
		}
	})
}
