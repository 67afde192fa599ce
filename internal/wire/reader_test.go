package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// As reader.go says: what a conversation starts with, and how much of a
// buffer it has without asking.
const (
	firstBuffer = 4 << 10
	headroom    = 4 << 10
	unreserved  = 16 << 10
)

func newReader(t *testing.T, src io.Reader) *wire.Reader {
	t.Helper()
	mem := &memory{}
	r := new(wire.Reader)
	r.Init(readOnly{src}, mem, 0)
	t.Cleanup(func() {
		r.Close()
		if n := mem.held(); n != 0 {
			t.Errorf("%d bytes stay reserved", n)
		}
	})
	return r
}

// values are whole ones of every size that a buffer may notice.
func values() (all [][]byte) {
	all = [][]byte{unhex("00"), unhex("c0"), unhex("82 a14102 a14203"), unhex("dc 0003 01 02 cd0102"), unhex("cf 0102030405060708")}
	for _, n := range []int{firstBuffer - 4, firstBuffer - 3, firstBuffer - 2, 3 * firstBuffer, 5*firstBuffer - 3, 60000} {
		all = append(all, unhex(fmt.Sprintf("da %04x", n), fill('x', n)), unhex("07"))
	}
	return append(all, unhex("db 00020000", fill('y', 1<<17)), unhex("dd 00004000", fill(0xc3, 1<<14)), unhex("a0"))
}

// However the bytes come in, the values come out.
func TestReaderNext(t *testing.T) {
	t.Parallel()
	all := values()
	stream := slices.Concat(all...)
	for _, size := range []int{1, 2, 3, 7, 100, firstBuffer - 1, firstBuffer, firstBuffer + 1, 1 << 20} {
		for _, zeros := range []bool{false, true} {
			for _, with := range []error{nil, io.EOF} {
				t.Run(fmt.Sprintf("%d,zeros=%v,with=%v", size, zeros, with), func(t *testing.T) {
					t.Parallel()
					r := newReader(t, &chunks{b: stream, size: size, zeros: zeros, with: with})
					for i, want := range all {
						v, err := r.Next(production, wire.PaceNone)
						if err != nil || !bytes.Equal(v, want) {
							t.Fatalf("value %d: %d bytes, %v; want %d", i, len(v), err, len(want))
						}
					}
					for range 3 {
						if v, err := r.Next(production, wire.PaceNone); v != nil || err != io.EOF {
							t.Fatalf("after the last: %x, %v; want EOF", v, err)
						}
					}
				})
			}
		}
	}
}

// A stream that ends between values has ended; within one it has broken.
func TestReaderCutAnywhere(t *testing.T) {
	t.Parallel()
	all := [][]byte{unhex("82 a14102 a14203"), unhex("07"), unhex("cf 0102030405060708"), unhex("c400"), unhex("93 a0 90 da0003 c1c1c1")}
	stream := slices.Concat(all...)
	for _, size := range []int{1, 2, 5, len(stream)} {
		for _, end := range []error{io.EOF, errBroken} {
			for _, together := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d,%v,together=%v", size, end, together), func(t *testing.T) {
					t.Parallel()
					for cut := range len(stream) + 1 {
						src := &chunks{b: stream[:cut], size: size, end: end}
						if together {
							src.with = end
						}
						r := newReader(t, src)
						left := cut
						for _, want := range all {
							v, err := r.Next(production, wire.PaceNone)
							if left >= len(want) {
								if err != nil || !bytes.Equal(v, want) {
									t.Fatalf("cut at %d: %x, %v; want %x", cut, v, err, want)
								}
								left -= len(want)
								continue
							}
							wantErr := end
							if end == io.EOF && left > 0 {
								wantErr = io.ErrUnexpectedEOF
							}
							if v != nil || err != wantErr {
								t.Errorf("cut at %d, %d into a value: %x, %v; want %v", cut, left, v, err, wantErr)
							}
							break
						}
					}
				})
			}
		}
	}
}

// All that one read brought can be had without another.
func TestReaderBuffered(t *testing.T) {
	t.Parallel()
	src := &chunks{b: unhex("01 a161 9102 da0003 7879"), size: 100}
	r := newReader(t, src)
	if v, ok, err := r.Buffered(production); ok || err != nil || r.Pending() || src.reads != 0 {
		t.Fatalf("before any read: %x, %v, %v, %d reads", v, ok, err, src.reads)
	}
	if v, err := r.Next(production, wire.PaceNone); string(v) != "\x01" || err != nil {
		t.Fatalf("%x, %v", v, err)
	}
	for _, want := range []string{"\xa1a", "\x91\x02"} {
		if !r.Pending() {
			t.Error("nothing is pending")
		}
		if v, ok, err := r.Buffered(production); string(v) != want || !ok || err != nil {
			t.Fatalf("%x, %v, %v; want %x", v, ok, err, want)
		}
	}
	for range 2 {
		if v, ok, err := r.Buffered(production); ok || err != nil || !r.Pending() {
			t.Fatalf("half a value: %x, %v, %v", v, ok, err)
		}
	}
	if src.reads != 1 {
		t.Errorf("%d reads", src.reads)
	}
	src.b = unhex("7a 05")
	if v, err := r.Next(production, wire.PaceNone); string(v) != "\xda\x00\x03xyz" || err != nil {
		t.Fatalf("%x, %v", v, err)
	}
	if v, ok, err := r.Buffered(production); string(v) != "\x05" || !ok || err != nil || r.Pending() {
		t.Fatalf("%x, %v, %v", v, ok, err)
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	l := msgpack.Limits{Bytes: 10, Values: 4, Depth: 2}
	for _, tt := range []struct {
		b    []byte
		want error
	}{
		{unhex("c1"), msgpack.ErrInvalid},
		{unhex("91 c1"), msgpack.ErrInvalid},
		{unhex("c6 7fffffff"), &msgpack.LimitError{Limit: msgpack.LimitBytes, Max: 10}},
		{unhex("aa", fill('x', 10)), &msgpack.LimitError{Limit: msgpack.LimitBytes, Max: 10}},
		{unhex("94 01 01 01 01"), &msgpack.LimitError{Limit: msgpack.LimitValues, Max: 4}},
		{unhex("dd 7fffffff"), &msgpack.LimitError{Limit: msgpack.LimitValues, Max: 4}},
		{fill(0x91, 3), &msgpack.LimitError{Limit: msgpack.LimitDepth, Max: 2}},
	} {
		for _, size := range []int{1, 1 << 20} {
			src := &chunks{b: slices.Concat(unhex("07"), tt.b, fill(0, 100)), size: size}
			r := newReader(t, src)
			if v, err := r.Next(l, wire.PaceNone); string(v) != "\x07" || err != nil {
				t.Fatalf("%x, %v", v, err)
			}
			if v, err := r.Next(l, wire.PaceNone); v != nil || err == nil || err.Error() != tt.want.Error() {
				t.Errorf("%.10x in reads of %d: %x, %v; want %v", tt.b, size, v, err, tt.want)
			}
			if v, ok, err := r.Buffered(l); v != nil || ok || err == nil || err.Error() != tt.want.Error() {
				t.Errorf("%.10x in reads of %d: buffered %x, %v, %v; want %v", tt.b, size, v, ok, err, tt.want)
			}
			if src.given > firstBuffer {
				t.Errorf("%.10x: %d bytes were read for it", tt.b, src.given)
			}
		}
	}
	// The limit is met exactly.
	r := newReader(t, &chunks{b: unhex("a9", fill('x', 9)), size: 100})
	if v, err := r.Next(l, wire.PaceNone); len(v) != 10 || err != nil {
		t.Errorf("%x, %v", v, err)
	}
}

func TestReaderAtEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		src  chunks
		want bool
		err  error
	}{
		{"the mark", chunks{b: []byte{wire.StreamEnd}, size: 1}, true, nil},
		{"the mark after reads of nothing", chunks{b: []byte{wire.StreamEnd}, size: 1, zeros: true}, true, nil},
		{"the mark and EOF", chunks{b: []byte{wire.StreamEnd}, size: 1, with: io.EOF}, true, nil},
		{"a value", chunks{b: unhex("a161"), size: 1}, false, nil},
		{"EOF", chunks{}, false, io.EOF},
		{"an error", chunks{end: errBroken}, false, errBroken},
	} {
		for _, buffered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,buffered=%v", tt.name, buffered), func(t *testing.T) {
				t.Parallel()
				src := tt.src
				src.b = slices.Concat(unhex("07"), src.b) // leaves its byte in the buffer
				if buffered {
					src.size = 100
				}
				if len(src.b) == 1 {
					src.size = 1
				}
				r := newReader(t, &src)
				if v, err := r.Next(production, wire.PaceNone); string(v) != "\x07" || err != nil {
					t.Fatalf("%x, %v", v, err)
				}
				if got, want := r.EndBuffered(), tt.want && r.Pending(); got != want {
					t.Errorf("buffered %v; want %v", got, want)
				}
				for range 2 { // it only looks
					if end, err := r.AtEnd(); end != tt.want || err != tt.err {
						t.Fatalf("%v, %v; want %v, %v", end, err, tt.want, tt.err)
					}
				}
				if r.EndBuffered() != tt.want {
					t.Errorf("buffered %v after it was seen", r.EndBuffered())
				}
				switch v, err := r.Next(production, wire.PaceNone); {
				case tt.err != nil:
					if err != tt.err {
						t.Errorf("Next: %x, %v", v, err)
					}
				case tt.want:
					if !errors.Is(err, msgpack.ErrInvalid) {
						t.Errorf("Next: %x, %v", v, err)
					}
				case string(v) != "\xa1a" || err != nil:
					t.Errorf("Next: %x, %v", v, err)
				}
			})
		}
	}
}

func TestReaderDiscard(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		src  chunks
		most int
		want error
	}{
		{"nothing there", chunks{}, 10, io.EOF},
		{"less", chunks{b: fill(1, 9), size: 4}, 10, io.EOF},
		{"just as much", chunks{b: fill(1, 10), size: 4}, 10, io.EOF},
		{"just as much, with EOF", chunks{b: fill(1, 10), size: 4, with: io.EOF}, 10, io.EOF},
		{"more by one", chunks{b: fill(1, 11), size: 1}, 10, nil},
		{"much more", chunks{b: fill(0xc1, 1<<20), size: 1 << 10}, 10, nil},
		{"none of one", chunks{b: fill(1, 1), size: 1}, 0, nil},
		{"reads of nothing", chunks{b: fill(1, 9), size: 4, zeros: true}, 10, io.EOF},
		{"an error", chunks{b: fill(1, 5), size: 4, end: errBroken}, 10, errBroken},
		{"an error with data", chunks{b: fill(1, 5), size: 4, with: errBroken}, 10, errBroken},
		{"several buffers", chunks{b: fill(1, 3*firstBuffer), size: 1 << 20}, 3 * firstBuffer, io.EOF},
	} {
		for _, after := range []string{"", "\x07"} { // a value that brought some of it along
			t.Run(fmt.Sprintf("%s,after=%q", tt.name, after), func(t *testing.T) {
				t.Parallel()
				src := tt.src
				src.b = slices.Concat([]byte(after), src.b)
				src.size = max(src.size, 1)
				r := newReader(t, &src)
				if after != "" {
					if v, err := r.Next(production, wire.PaceNone); string(v) != after || err != nil {
						t.Fatalf("%x, %v", v, err)
					}
				}
				if err := r.Discard(tt.most); err != tt.want {
					t.Errorf("%v; want %v", err, tt.want)
				}
				if tt.want == nil && src.given > tt.most+firstBuffer {
					t.Errorf("read %d bytes for %d", src.given, tt.most)
				}
				if r.Pending() {
					t.Error("something is left")
				}
			})
		}
	}
	// What has been read already counts, and goes first.
	src := &chunks{b: unhex("07", fill(1, 8)), size: 100}
	r := newReader(t, src)
	if _, err := r.Next(production, wire.PaceNone); err != nil {
		t.Fatal(err)
	}
	if err := r.Discard(7); err != nil || src.reads != 1 || r.Pending() {
		t.Errorf("%v after %d reads", err, src.reads)
	}
}

// Close may come at any time, and more than once; a server reads on after it
// to learn that the caller has gone.
func TestReaderClose(t *testing.T) {
	t.Parallel()
	mem := &memory{}
	var r wire.Reader
	src := &chunks{b: slices.Concat(unhex("c6 00010000", fill(1, 1<<16)), fill(2, 10)), size: 1 << 20}
	r.Init(readOnly{src}, mem, 0)
	r.Close()
	if v, err := r.Next(production, wire.PaceNone); len(v) != 5+1<<16 || err != nil {
		t.Fatal(len(v), err)
	}
	if mem.held() < 1<<16-unreserved {
		t.Errorf("%d bytes are reserved for %d", mem.held(), 1<<16)
	}
	for range 2 {
		r.Close()
		if mem.held() != 0 || r.Pending() || r.EndBuffered() {
			t.Errorf("%d bytes stay reserved, pending %v", mem.held(), r.Pending())
		}
	}
	src.b = append(src.b, unhex("dc 0f00", fill(1, 0xf00))...)
	if err := r.Discard(5 + 1<<16); err != io.EOF {
		t.Error(err)
	}
	r.Close()
	if mem.held() != 0 {
		t.Errorf("%d bytes stay reserved", mem.held())
	}
}

func TestReaderSkip(t *testing.T) {
	t.Parallel()
	r := newReader(t, &chunks{b: unhex("a1 78 a1 78 a1 79 a2 7878"), size: 3})
	x, y := unhex("a1 78"), unhex("a1 79")
	if r.Skip(x) {
		t.Error("what has not arrived is skipped")
	}
	if v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, x) || err != nil {
		t.Fatalf("%x, %v", v, err)
	}
	if r.Skip(x) {
		t.Error("what has arrived in part is skipped")
	}
	if end, err := r.AtEnd(); end || err != nil {
		t.Fatal(end, err)
	}
	for v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, x); {
		t.Fatalf("%x, %v", v, err)
	}
	_, _ = r.AtEnd()
	if r.Skip(x) || !r.Skip(y) || r.Skip(y) {
		t.Error("not what is next is skipped")
	}
	if v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, unhex("a2 7878")) || err != nil {
		t.Errorf("%x, %v", v, err)
	}
}
