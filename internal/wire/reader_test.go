package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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
		{fill(0x91, 1<<20), &msgpack.LimitError{Limit: msgpack.LimitDepth, Max: 2}},
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

// Memory grows with what has arrived, never by what is announced.
func TestReaderMemoryFollowsTheBytes(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	l := msgpack.Limits{Bytes: most, Values: most, Depth: 64}
	for name, head := range map[string][]byte{
		"a string of all":     unhex("c6 000ffffb"),
		"an array of all":     unhex("dd 000ffff0"),
		"strings in an array": unhex("dc 0fff a0 c6 00080000"),
		"arrays in arrays":    unhex("9f 9f 9f dd 000f0000 dc ff00"),
		"a string of 20 KiB":  unhex("da 5000"),
		"a string of 80 KiB":  unhex("db 00014000"),
	} {
		for _, sent := range []int{1, 10, 100, firstBuffer, firstBuffer + 1, 4 * firstBuffer, 4*firstBuffer + 1, 1e5, 5e5, most} {
			for _, size := range []int{100, firstBuffer, most} {
				t.Run(fmt.Sprintf("%s,%d in reads of %d", name, sent, size), func(t *testing.T) {
					t.Parallel()
					b := slices.Concat(head, fill(1, most))[:sent]
					whole := msgpack.Check(b, l) == nil
					if rest, err := msgpack.Skip(b); err == nil { // one value, no more
						b, whole = b[:len(b)-len(rest)], true
					}
					src := &chunks{b: b, size: size}
					mem := &memory{}
					mem.check = func(total int) {
						// Two for the buffer that is full, or five in all for the end in sight.
						if total > 5*src.given || total > most {
							t.Errorf("%d bytes are reserved when %d have come", total, src.given)
						}
					}
					var r wire.Reader
					r.Init(readOnly{src}, mem, 0)
					v, err := r.Next(l, wire.PaceNone)
					if whole != (err == nil) || whole && len(v) != len(b) || !whole && err != io.ErrUnexpectedEOF {
						t.Errorf("%d bytes of %d, %v", len(v), len(b), err)
					}
					if held := mem.held(); held < src.given-unreserved {
						t.Errorf("%d bytes are reserved for %d", held, src.given)
					}
					if mem.calls > 12 {
						t.Errorf("grew %d times", mem.calls)
					}
					r.Close()
					if mem.held() != 0 {
						t.Errorf("%d bytes stay reserved", mem.held())
					}
				})
			}
		}
	}
}

// The limit is reached by items that are small each: no head gives it away.
func TestReaderMemoryAtTheLimit(t *testing.T) {
	t.Parallel()
	const most = 600_000 // not where doubling gets to
	l := msgpack.Limits{Bytes: most, Values: most, Depth: 64}
	item := unhex("da 0100", fill(1, 0x100))
	for _, size := range []int{1000, most} {
		src := &chunks{b: slices.Concat(unhex("dd 00010000"), bytes.Repeat(item, 1<<13)), size: size}
		mem := &memory{}
		var r wire.Reader
		r.Init(readOnly{src}, mem, 0)
		_, err := r.Next(l, wire.PaceNone)
		var e *msgpack.LimitError
		if !errors.As(err, &e) || e.Limit != msgpack.LimitBytes {
			t.Error(err)
		}
		if held := unreserved + mem.highest(); src.given > most+16 || held > most+16 {
			t.Errorf("%d bytes were read into a buffer of %d; there may be %d", src.given, held, most)
		}
		r.Close()
		if mem.held() != 0 {
			t.Errorf("%d bytes stay reserved", mem.held())
		}
	}
}

// An announcement that what has come bears out saves growing: in steps of four
// at first, and then to the size and a little more.
func TestReaderGrowsToWhatIsNeeded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{5 * firstBuffer, 200_000, 1 << 20} {
		b := unhex(fmt.Sprintf("c6 %08x", n-5), fill(1, n-5))
		mem := &memory{}
		var r wire.Reader
		r.Init(readOnly{&chunks{b: b, size: 1 << 20}}, mem, 0)
		if v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, b) || err != nil {
			t.Errorf("%d bytes of %d, %v", len(v), n, err)
		}
		if held := unreserved + mem.held(); held != n+headroom || mem.calls > 3 {
			t.Errorf("grew %d times to %d for %d", mem.calls, held, n)
		}
		r.Close()
	}
}

// Many small values need no more than the first buffer.
func TestReaderSmallValuesReserveNothing(t *testing.T) {
	t.Parallel()
	item := unhex("da 0400", fill(1, 0x400))
	src := &chunks{b: bytes.Repeat(item, 1000), size: 1 << 20}
	mem := &memory{}
	var r wire.Reader
	r.Init(readOnly{src}, mem, 0)
	defer r.Close()
	for range 1000 {
		if v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, item) || err != nil {
			t.Fatal(len(v), err)
		}
	}
	if mem.calls != 0 {
		t.Errorf("reserved %d times, %d bytes at most", mem.calls, mem.highest())
	}
}

func TestReaderMemoryRefused(t *testing.T) {
	t.Parallel()
	want := unhex("c6 00010000", fill(1, 1<<16))
	for _, most := range []int{1, 10000, 48000} {
		src := &chunks{b: slices.Concat(want, want), size: 1 << 20}
		mem := &memory{most: most}
		var r wire.Reader
		r.Init(readOnly{src}, mem, 0)
		for range 2 {
			given := src.given
			v, err := r.Next(production, wire.PaceNone)
			if v != nil || !errors.Is(err, wire.ErrMemory) || !errors.Is(err, errRefused) {
				t.Fatalf("%d may be: %d bytes, %v", most, len(v), err)
			}
			if given > 0 && src.given != given {
				t.Error("read on without memory")
			}
		}
		if src.given > unreserved+most || mem.held() > most {
			t.Errorf("%d bytes were read, and %d reserved, where %d may be", src.given, mem.held(), most)
		}
		// What had come is not lost.
		mem.most = 0
		for range 2 {
			if v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, want) || err != nil {
				t.Fatalf("%d bytes, %v", len(v), err)
			}
		}
		r.Close()
		if mem.held() != 0 {
			t.Errorf("%d bytes stay reserved", mem.held())
		}
	}
}

func TestConnClose(t *testing.T) {
	t.Parallel()
	mem := &memory{}
	var c wire.Conn
	c.Init(struct {
		io.Reader
		io.Writer
		noDeadlines
	}{&chunks{b: unhex("c6 00010000", fill(1, 1<<16)), size: 1 << 20}, io.Discard, noDeadlines{}}, mem, 0)
	if _, err := c.R.Next(production, wire.PaceAll); err != nil {
		t.Fatal(err)
	}
	held := mem.held()
	c.W.B = append(c.W.B, fill(1, 1<<16)...)
	if err := c.W.Flush(); err != nil || held == 0 || mem.held() <= held {
		t.Fatalf("%v, %d and %d reserved", err, held, mem.held())
	}
	c.Close()
	if mem.held() != 0 {
		t.Errorf("%d bytes stay reserved", mem.held())
	}
}

// next runs Next and says how long it took, by a bubble's clock.
func next(st wire.Stream, stall time.Duration, pace wire.Pace) (v []byte, took time.Duration, err error) {
	var r wire.Reader
	r.Init(st, &memory{}, stall)
	defer r.Close()
	start := time.Now()
	v, err = r.Next(production, pace)
	return bytes.Clone(v), time.Since(start), err
}

// feed sends b a byte at a time, each after the pause, until the reader stops.
func feed(s *slow, b []byte, pause time.Duration, stopped <-chan struct{}) {
	for _, c := range b {
		select {
		case <-time.After(pause):
		case <-stopped:
			return
		}
		select {
		case s.in <- []byte{c}:
		case <-stopped:
			return
		}
	}
}

func TestReaderPace(t *testing.T) {
	t.Parallel()
	const stall = 10 * time.Second
	value := unhex("8f", fill(1, 30))
	for _, tt := range []struct {
		name  string
		pace  wire.Pace
		stall time.Duration
		send  []byte
		pause time.Duration // before each byte
		err   error
		took  time.Duration
	}{
		{"idle, then a value", wire.PaceValue, stall, unhex("07"), time.Hour, nil, time.Hour},
		{"part of a value", wire.PaceValue, stall, value[:1], time.Hour, wire.ErrStalled, time.Hour + stall},
		{"more of a value", wire.PaceValue, stall, value[:5], stall - 1, wire.ErrStalled, 5*(stall-1) + stall},
		{"slow, but moving", wire.PaceValue, stall, value, stall - 1, nil, 31 * (stall - 1)},
		{"nothing", wire.PaceAll, stall, nil, 0, wire.ErrStalled, stall},
		{"too late", wire.PaceAll, stall, value, stall + 1, wire.ErrStalled, stall},
		{"slow, but moving, from the start", wire.PaceAll, stall, value, stall - 1, nil, 31 * (stall - 1)},
		{"nobody watches", wire.PaceNone, stall, value, time.Hour, nil, 31 * time.Hour},
		{"time without end", wire.PaceAll, 0, value, time.Hour, nil, 31 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, stopped := newSlow(), make(chan struct{})
				go feed(s, tt.send, tt.pause, stopped)
				v, took, err := next(s, tt.stall, tt.pace)
				close(stopped)
				if !errors.Is(err, tt.err) || took != tt.took || err == nil && !bytes.Equal(v, tt.send) {
					t.Errorf("%x, %v after %v; want %v after %v", v, err, took, tt.err, tt.took)
				}
				<-time.After(24 * time.Hour)
				if reads, writes := s.deadlines(); writes != 0 || reads > 1 || (reads == 1) != (tt.err != nil) {
					t.Errorf("%d deadlines were set for reads, %d for writes", reads, writes)
				}
			})
		})
	}
}

// A reader that has given up does not begin to wait anew.
func TestReaderStaysStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r wire.Reader
		r.Init(newSlow(), &memory{}, time.Second)
		defer r.Close()
		for range 3 {
			start := time.Now()
			if _, err := r.Next(production, wire.PaceAll); !errors.Is(err, wire.ErrStalled) || time.Since(start) > time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
		if r.Unwatch() {
			t.Error("it was in time")
		}
	})
}

// Watch is for all that is read: a byte now and then does not help.
func TestReaderWatch(t *testing.T) {
	t.Parallel()
	const bound = 10 * time.Second
	for _, tt := range []struct {
		name   string
		pause  time.Duration
		inTime bool
	}{
		{"in time", bound/32 - 1, true},
		{"drop by drop", bound / 10, false},
		{"silent", time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, stopped := newSlow(), make(chan struct{})
				go feed(s, unhex("8f", fill(1, 30)), tt.pause, stopped)
				var r wire.Reader
				r.Init(s, &memory{}, time.Nanosecond) // not what counts
				defer r.Close()
				start := time.Now()
				r.Watch(bound)
				_, err := r.Next(production, wire.PaceNone)
				took := time.Since(start)
				close(stopped)
				if in := r.Unwatch(); in != tt.inTime || in != (err == nil) || !in && (took != bound || !errors.Is(err, os.ErrDeadlineExceeded)) {
					t.Errorf("in time: %v, %v after %v", in, err, took)
				}
				<-time.After(time.Hour)
				if reads, _ := s.deadlines(); (reads == 0) != tt.inTime {
					t.Errorf("%d deadlines were set", reads)
				}
			})
		})
	}
}
