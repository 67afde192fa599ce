package rpc_test

import (
	"context"
	"encoding/binary"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// What the tests of hostile and broken peers have in common: a stream is
// written and read by hand on one side, and the library is on the other.

// extended is the protocol by which two sides of this library talk.
const extended = testProtocol + "/2"

// sessions is the protocol of sessions.
const sessions = testProtocol + "/session/1"

// open returns a stream to b's server for the test to write by hand.
func open(t testing.TB, a, b host.Host, p protocol.ID) network.Stream {
	t.Helper()
	st, err := a.NewStream(testContext(t), b.ID(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Reset() })
	_ = st.SetDeadline(time.Now().Add(20 * time.Second))
	return st
}

func write(t testing.TB, st network.Stream, b []byte) {
	t.Helper()
	if _, err := st.Write(b); err != nil {
		t.Fatal(err)
	}
}

// flood writes zeros, each of them a msgpack value, until the other side stops
// it or there were n, and returns how many went.
func flood(st network.Stream, n int) int {
	chunk, sent := make([]byte, 32<<10), 0
	for sent < n {
		w, err := st.Write(chunk[:min(len(chunk), n-sent)])
		if sent += w; err != nil {
			break
		}
	}
	return sent
}

func header(svc, method string) []byte {
	return cat("\x82", str("Name"), str(svc), str("Method"), str(method))
}

func str(s string) string {
	switch n := len(s); {
	case n < 32:
		return string([]byte{0xa0 | byte(n)}) + s
	case n < 1<<16:
		return string(binary.BigEndian.AppendUint16([]byte{0xda}, uint16(n))) + s
	default:
		return string(binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(n))) + s
	}
}

func cat[B ~string | ~[]byte](first B, more ...string) []byte {
	b := []byte(first)
	for _, s := range more {
		b = append(b, s...)
	}
	return b
}

// answer is a response as it is on the wire, and the value after it.
type answer struct {
	rpc.Response
	Code  int
	Value any
}

// answers takes what a server wrote apart.
func answers(t testing.TB, b []byte) []answer {
	t.Helper()
	d := codec.NewDecoderBytes(b, new(codec.MsgpackHandle))
	var all []answer
	for d.NumBytesRead() < len(b) {
		var head struct {
			Service rpc.ServiceID
			Error   string
			ErrType rpc.ErrorType
			Code    int
		}
		err := d.Decode(&head)
		a := answer{Response: rpc.Response{Service: head.Service, Error: head.Error, ErrType: head.ErrType}, Code: head.Code}
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

// refusal reads to the end of the stream and expects one error, with nothing
// beside it.
func refusal(t testing.TB, st io.Reader) answer {
	t.Helper()
	b, err := io.ReadAll(st)
	if err != nil {
		t.Fatalf("%v after %.200q", err, b)
	}
	all := answers(t, b)
	if len(all) != 1 || all[0].Error == "" || all[0].Value != nil {
		t.Fatalf("not one error: %.500q", b)
	}
	return all[0]
}

// held returns what the streams of the library hold of h.
func held(h host.Host) (all network.ScopeStat) {
	add := func(s network.ScopeStat) {
		all.NumStreamsInbound += s.NumStreamsInbound
		all.NumStreamsOutbound += s.NumStreamsOutbound
		all.Memory += s.Memory
	}
	m := h.Network().ResourceManager()
	_ = m.ViewService(rpc.ServiceName, func(s network.ServiceScope) error { add(s.Stat()); return nil })
	for _, p := range []protocol.ID{testProtocol, extended, sessions} {
		_ = m.ViewProtocol(p, func(s network.ProtocolScope) error { add(s.Stat()); return nil })
	}
	return all
}

// streams returns how many streams of the library there are at h.
func streams(h host.Host) int {
	s := held(h)
	return (s.NumStreamsInbound + s.NumStreamsOutbound) / 2 // of the service, and of the protocol
}

// released waits until the library holds nothing of the hosts.
func released(t testing.TB, hosts ...host.Host) {
	t.Helper()
	for _, h := range hosts {
		var last network.ScopeStat
		eventually(t, "all streams and memory given back", func() bool {
			last = held(h)
			return last == network.ScopeStat{}
		})
	}
}

// multiplies checks that the server serves an honest client.
func multiplies(t testing.TB, c *rpc.Client, dest peer.ID) {
	t.Helper()
	var n int
	if err := c.CallContext(testContext(t), dest, "Svc", "Multiply", Args{2, 3}, &n); err != nil || n != 6 {
		t.Fatalf("an honest client gets %d, %v", n, err)
	}
}

// allocates fails the test if f, alone in the process, takes more memory than
// most. What was freed again counts: no moment's use can be missed.
func allocates(t *testing.T, most uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("took %d MiB, and %d are plenty", n>>20, most>>20)
	}
}

// holder has a method that heeds nothing but the test.
type holder struct {
	Arith
	started chan struct{} // takes one for each that runs
	release chan struct{} // gives one for each that may return
	running atomic.Int32
	most    atomic.Int32
}

func newHolder() *holder {
	return &holder{started: make(chan struct{}, 1000), release: make(chan struct{}, 1000)}
}

func (h *holder) Hold(context.Context, struct{}, *struct{}) error {
	n := h.running.Add(1)
	defer h.running.Add(-1)
	for m := h.most.Load(); n > m && !h.most.CompareAndSwap(m, n); m = h.most.Load() {
	}
	h.started <- struct{}{}
	<-h.release
	return nil
}

// counted counts the calls of its methods, of both kinds.
type counted struct{ calls atomic.Int32 }

func (c *counted) Unary(context.Context, any, *any) error {
	c.calls.Add(1)
	return nil
}

func (c *counted) Streaming(_ context.Context, in <-chan any, _ chan<- any) error {
	c.calls.Add(1)
	for range in {
	}
	return nil
}
