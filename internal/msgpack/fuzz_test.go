package msgpack_test

import (
	"errors"
	"testing"

	"github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// The codec may disagree with the scanner about what a value means, never
// about where it ends: that would desynchronise the stream.
func FuzzScanner(f *testing.F) {
	for _, sm := range samples() {
		f.Add(sm.b)
	}
	for _, h := range hostile() {
		f.Add(h.B[:min(len(h.B), 4<<10)])
	}
	for _, b := range recorded(f) {
		f.Add(b[:min(len(b), 4<<10)])
	}
	limits := msgpack.Limits{Bytes: 2 << 10, Values: 512, Depth: 32}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), 4<<10)]
		end, done, err := scan(b, limits)
		if done && (err != nil || end < 1 || end > len(b) || end > limits.Bytes) || !done && end != 0 {
			t.Fatalf("%x: %d, %v, %v", b, end, done, err)
		}
		bytewise(t, b, limits, end, done, err)

		rest, skipErr := msgpack.Skip(b)
		switch {
		case done:
			if skipErr != nil || len(b)-len(rest) != end {
				t.Fatalf("%x: Skip passes over %d, %v; want %d", b, len(b)-len(rest), skipErr, end)
			}
			if err := msgpack.Check(b[:end], limits); err != nil {
				t.Fatalf("%x: %v", b[:end], err)
			}
			sameEnd(t, b, end)
		case err == nil && skipErr == nil:
			t.Fatalf("%x: not whole, and Skip passes over %d", b, len(b)-len(rest))
		case errors.Is(err, msgpack.ErrInvalid):
			if !errors.Is(skipErr, msgpack.ErrInvalid) {
				t.Fatalf("%x: Skip: %v", b, skipErr)
			}
			if n, err := consumed(b, new(any)); err == nil {
				t.Fatalf("%x: invalid, but the codec takes %d bytes", b, n)
			}
		}
	})
}

// bytewise feeds b a byte at a time and wants the same outcome.
func bytewise(t *testing.T, b []byte, l msgpack.Limits, end int, done bool, err error) {
	var s msgpack.Scanner
	s.Reset(l)
	for n := range len(b) + 1 {
		e, d, er := s.Scan(b[:n:n])
		if need := s.Need(); need < 0 || need > l.Bytes {
			t.Fatalf("%x: needs %d", b[:n], need)
		}
		if !d && er == nil && n < len(b) {
			continue
		}
		if e != end || d != done || (er == nil) != (err == nil) || er != nil && er.Error() != err.Error() {
			t.Fatalf("%x: after %d bytes %d, %v, %v; at once %d, %v, %v", b, n, e, d, er, end, done, err)
		}
		return
	}
}

// sameEnd wants the codec to end where the scanner does, if it decodes at all.
func sameEnd(t *testing.T, b []byte, end int) {
	for _, v := range []any{new(any), new(codec.Raw), new(struct{})} {
		if n, err := consumed(b, v); err == nil && n != end {
			t.Fatalf("%x: the codec takes %d bytes into a %T, the scanner %d", b, n, v, end)
		}
		// Nor may it want more than the value, which is all it gets.
		n, err := consumed(b[:end:end], v)
		if err == nil && n != end {
			t.Fatalf("%x: the codec takes %d bytes of %d into a %T", b[:end], n, end, v)
		}
		if _, raw := v.(*codec.Raw); raw && err != nil {
			t.Fatalf("%x: the codec finds no value: %v", b[:end], err)
		}
	}
}

// consumed is how many bytes the codec takes for one value.
func consumed(b []byte, v any) (int, error) {
	d := codec.NewDecoderBytes(b, &codec.MsgpackHandle{})
	err := d.Decode(v)
	return d.NumBytesRead(), err
}
