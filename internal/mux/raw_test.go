package mux

import (
	"bufio"
	"encoding/binary"
	"io"
	"testing"
)

// raw is a peer that a test plays by hand.
type raw struct {
	t  testing.TB
	st *stream
	br *bufio.Reader
}

func newRaw(t testing.TB, st *stream) *raw { return &raw{t, st, bufio.NewReader(st)} }

// send writes bytes, made by the functions below.
func (r *raw) send(frames ...[]byte) {
	r.t.Helper()
	for _, f := range frames {
		if _, err := r.st.Write(f); err != nil {
			r.t.Fatalf("writing: %v", err)
		}
	}
}

// read returns the next frame.
func (r *raw) read() (f frame, err error) {
	n, err := binary.ReadUvarint(r.br)
	if err != nil {
		return f, err
	}
	b := make([]byte, n)
	if _, err = io.ReadFull(r.br, b); err != nil {
		return f, err
	}
	return parseFrame(b, 0)
}

// expect returns the next frame of that kind. Pings are passed over.
func (r *raw) expect(k kind) frame {
	r.t.Helper()
	for {
		f, err := r.read()
		if err != nil {
			r.t.Fatalf("waiting for a frame of kind %d: %v", k, err)
		}
		if f.kind == k {
			return f
		}
		if f.kind != kindPing {
			r.t.Fatalf("a frame of kind %d, not %d: %+v", f.kind, k, f)
		}
	}
}

// end reads to the end of the stream.
func (r *raw) end() error {
	for {
		if _, err := r.read(); err != nil {
			return err
		}
	}
}

func settingsFrame(pairs ...uint64) []byte { return appendSettings(nil, pairs...) }

func requestFrame(id, size uint64, piece string) []byte {
	return appendFrame(nil, kindRequest, []uint64{id, size}, []byte(piece))
}

func wholeRequest(id uint64, body string) []byte { return requestFrame(id, uint64(len(body)), body) }

func replyFrame(id, size uint64, piece string) []byte {
	return appendFrame(nil, kindReply, []uint64{id, size}, []byte(piece))
}

func wholeReply(id uint64, body string) []byte { return replyFrame(id, uint64(len(body)), body) }

func dataFrame(id uint64, piece string) []byte {
	return appendFrame(nil, kindData, []uint64{id}, []byte(piece))
}

func cancelFrame(id, code uint64) []byte { return appendFrame(nil, kindCancel, []uint64{id, code}) }

func abortFrame(id uint64) []byte { return appendFrame(nil, kindAbort, []uint64{id}) }

func refuseFrame(id, code uint64, text string) []byte {
	return appendFrame(nil, kindRefuse, []uint64{id, code}, []byte(text))
}

func goAwayFrame(last, code uint64, text string) []byte {
	return appendFrame(nil, kindGoAway, []uint64{last, code}, []byte(text))
}

func pingFrame(k kind, data string) []byte { return appendFrame(nil, k, nil, []byte(data)) }

func openFrame(id, window uint64, body string) []byte {
	return appendFrame(nil, kindOpen, []uint64{id, window}, []byte(body))
}

func bytesFrame(k kind, id uint64, body string) []byte {
	return appendFrame(nil, k, []uint64{id}, []byte(body))
}
