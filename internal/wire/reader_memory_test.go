package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

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
// at first, and then to the size and a little more, or to the power of two above that
// if the pool's buffer takes it.
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
		held, need := unreserved+mem.held(), n+headroom
		if held != need && held != account.BufferCap(need) || mem.calls > 3 {
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
