package msgpack_test

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unlimited is more than any sample needs.
var unlimited = msgpack.Limits{Bytes: 1 << 20, Values: 1 << 20, Depth: 64}

func scan(b []byte, l msgpack.Limits) (end int, done bool, err error) {
	var s msgpack.Scanner
	s.Reset(l)
	return s.Scan(b)
}

// wholeLengths says how long the value is that each byte starts, where all
// that follows is zeros: lengths, numbers, and children of one byte. By hand
// from the format's specification; 0 is no value.
func wholeLengths() (n [256]int) {
	for c := range 0x80 {
		n[c] = 1
	}
	for i := range 16 {
		n[0x80+i] = 1 + 2*i
		n[0x90+i] = 1 + i
		n[0xa0+i] = 1 + i
		n[0xb0+i] = 1 + 16 + i
	}
	copy(n[0xc0:], []int{
		1, 0, 1, 1, // nil, invalid, false, true
		2, 3, 5, 3, 4, 6, // bin, ext with their type byte
		5, 9, 2, 3, 5, 9, 2, 3, 5, 9, // float, uint, int
		3, 4, 6, 10, 18, // fixext
		2, 3, 5, 3, 5, 3, 5, // str, array, map
	})
	for c := 0xe0; c < 0x100; c++ {
		n[c] = 1
	}
	return n
}

func TestScanEveryHeadByte(t *testing.T) {
	t.Parallel()
	for c, want := range wholeLengths() {
		b := make([]byte, 64)
		b[0] = byte(c)
		end, done, err := scan(b, unlimited)
		rest, skipErr := msgpack.Skip(b)
		if want == 0 {
			if !errors.Is(err, msgpack.ErrInvalid) || done || !errors.Is(skipErr, msgpack.ErrInvalid) {
				t.Errorf("%#x: done %v, %v; Skip: %v", c, done, err, skipErr)
			}
			continue
		}
		if end != want || !done || err != nil {
			t.Errorf("%#x: Scan says %d, %v, %v; want %d", c, end, done, err, want)
		}
		if skipErr != nil || len(b)-len(rest) != want {
			t.Errorf("%#x: Skip passes over %d, %v; want %d", c, len(b)-len(rest), skipErr, want)
		}
	}
}

// Where the reads happen to end makes no difference.
func TestScanCutAnywhere(t *testing.T) {
	t.Parallel()
	for _, sm := range samples() {
		t.Run(sm.name, func(t *testing.T) {
			t.Parallel()
			var bytewise msgpack.Scanner
			bytewise.Reset(unlimited)
			for cut := range len(sm.b) {
				head := sm.b[:cut:cut]
				if end, done, err := bytewise.Scan(head); end != 0 || done || err != nil {
					t.Fatalf("byte by byte, after %d of %d: %d, %v, %v", cut, len(sm.b), end, done, err)
				}
				var s msgpack.Scanner
				s.Reset(unlimited)
				if end, done, err := s.Scan(head); end != 0 || done || err != nil {
					t.Fatalf("the first %d of %d: %d, %v, %v", cut, len(sm.b), end, done, err)
				}
				if end, done, err := s.Scan(sm.b); end != len(sm.b) || !done || err != nil {
					t.Fatalf("in two, cut at %d of %d: %d, %v, %v", cut, len(sm.b), end, done, err)
				}
				if err := msgpack.Check(head, unlimited); err == nil {
					t.Fatalf("Check accepts the first %d of %d", cut, len(sm.b))
				}
				if _, err := msgpack.Skip(head); err == nil {
					t.Fatalf("Skip accepts the first %d of %d", cut, len(sm.b))
				}
			}
			if end, done, err := bytewise.Scan(sm.b); end != len(sm.b) || !done || err != nil {
				t.Fatalf("byte by byte: %d, %v, %v; want %d", end, done, err, len(sm.b))
			}
			if err := msgpack.Check(sm.b, unlimited); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What follows a value is another's, whatever it is.
func TestScanLeavesTheNextValue(t *testing.T) {
	t.Parallel()
	for _, next := range [][]byte{{0xc1}, {0}, {0x91}, {0xc6, 0xff, 0xff, 0xff, 0xff}, fill(0xff, 20)} {
		for _, sm := range samples() {
			b := slices.Concat(sm.b, next)
			if end, done, err := scan(b, unlimited); end != len(sm.b) || !done || err != nil {
				t.Errorf("%s before %x: %d, %v, %v; want %d", sm.name, next, end, done, err, len(sm.b))
			}
			if rest, err := msgpack.Skip(b); err != nil || string(rest) != string(next) {
				t.Errorf("%s before %x: Skip leaves %x, %v", sm.name, next, rest, err)
			}
			if err := msgpack.Check(b, unlimited); err == nil {
				t.Errorf("%s before %x: Check takes two for one", sm.name, next)
			}
			// A limit is one value's: the next must not count.
			l := msgpack.Limits{Bytes: len(sm.b), Values: sm.values, Depth: max(sm.depth, 1)}
			if _, done, err := scan(b, l); !done || err != nil {
				t.Errorf("%s before %x, limits met exactly: %v, %v", sm.name, next, done, err)
			}
		}
	}
}

func TestScanLimits(t *testing.T) {
	t.Parallel()
	exceeds := func(t *testing.T, b []byte, l msgpack.Limits, limit msgpack.Limit, most int) {
		t.Helper()
		check := func(how string, err error) {
			t.Helper()
			var e *msgpack.LimitError
			if !errors.As(err, &e) || e.Limit != limit || e.Max != most {
				t.Errorf("%s, limits %+v: %v; want limit %d exceeded", how, l, err, limit)
			}
		}
		check("Check", msgpack.Check(b, l))
		var s msgpack.Scanner
		s.Reset(l)
		for n := range len(b) + 1 {
			if _, done, err := s.Scan(b[:n]); done || err != nil {
				check("byte by byte", err)
				return
			}
		}
		t.Errorf("byte by byte, limits %+v: nothing exceeded", l)
	}
	for _, sm := range samples() {
		t.Run(sm.name, func(t *testing.T) {
			t.Parallel()
			exact := msgpack.Limits{Bytes: len(sm.b), Values: sm.values, Depth: max(sm.depth, 1)}
			if err := msgpack.Check(sm.b, exact); err != nil {
				t.Errorf("limits %+v met exactly: %v", exact, err)
			}
			if l := exact; l.Bytes > 1 {
				l.Bytes--
				exceeds(t, sm.b, l, msgpack.LimitBytes, l.Bytes)
			}
			if l := exact; l.Values > 1 {
				l.Values--
				exceeds(t, sm.b, l, msgpack.LimitValues, l.Values)
			}
			if l := exact; l.Depth > 1 {
				l.Depth--
				exceeds(t, sm.b, l, msgpack.LimitDepth, l.Depth)
			}
		})
	}
}

func TestLimitErrorSaysWhich(t *testing.T) {
	t.Parallel()
	for limit, want := range map[msgpack.Limit]string{
		msgpack.LimitBytes: "7 bytes", msgpack.LimitValues: "7 values", msgpack.LimitDepth: "7 deep",
	} {
		if got := (&msgpack.LimitError{Limit: limit, Max: 7}).Error(); !strings.Contains(got, want) {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
}

// A hostile value is refused as soon as its bytes show what it is.
func TestScanRefusesHostile(t *testing.T) {
	t.Parallel()
	for _, h := range hostile() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			shows := h.Shows
			if shows < 0 {
				shows = len(h.B)
			}
			var s msgpack.Scanner
			s.Reset(production)
			if _, done, err := s.Scan(h.B[: shows-1 : shows-1]); done || err != nil {
				t.Fatalf("too early, after %d bytes: %v, %v", shows-1, done, err)
			}
			_, done, err := s.Scan(h.B[:shows:shows])
			var e *msgpack.LimitError
			if done || !errors.As(err, &e) || e.Limit != h.Limit {
				t.Fatalf("after %d bytes: %v, %v; want limit %d exceeded", shows, done, err, h.Limit)
			}
			if err := msgpack.Check(h.B, production); !errors.As(err, &e) || e.Limit != h.Limit {
				t.Fatalf("Check: %v; want limit %d exceeded", err, h.Limit)
			}
		})
	}
}

// Not parallel, for it measures the whole process.
func TestScanHostileTakesNoMemory(t *testing.T) {
	inputs := hostile()
	for _, h := range inputs {
		var s msgpack.Scanner
		// The first run makes the stack; then only the error is new.
		if n := testing.AllocsPerRun(10, func() { s.Reset(production); _, _, _ = s.Scan(h.B) }); n > 1 {
			t.Errorf("%s: %v allocations", h.Name, n)
		}
		if n := testing.AllocsPerRun(1, func() { _, _ = msgpack.Skip(h.B) }); n > 0 {
			t.Errorf("%s: Skip makes %v allocations", h.Name, n)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, h := range inputs {
		_ = msgpack.Check(h.B, production)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / uint64(len(inputs)); n > 16<<10 {
		t.Errorf("%d bytes allocated for each input", n)
	}
}

// Skip has no limits of its own, but no stack either to overflow.
func TestSkipHostile(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{fill(0x91, 2000), slices.Concat(fill(0x91, 2000), []byte{0x81})} {
		if _, err := msgpack.Skip(b); err == nil {
			t.Error("an unfinished value is no error")
		}
	}
	if rest, err := msgpack.Skip(slices.Concat(fill(0x91, 2000), []byte{0xc0, 7})); err != nil || len(rest) != 1 {
		t.Errorf("%d bytes left, %v", len(rest), err)
	}
	for _, b := range [][]byte{unhex("dd ffffffff"), unhex("df ffffffff df ffffffff"), unhex("c6 ffffffff"), unhex("c9 ffffffff 00"), {}} {
		if _, err := msgpack.Skip(b); err == nil {
			t.Errorf("%x is no error", b)
		}
	}
}

func TestScanInvalidByteAnywhere(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{unhex("c1"), unhex("91 c1"), unhex("81 a161 c1"), unhex("81 c1"), unhex("93 01 90 c1")} {
		if _, done, err := scan(b, unlimited); done || !errors.Is(err, msgpack.ErrInvalid) {
			t.Errorf("%x: %v, %v", b, done, err)
		}
		if _, err := msgpack.Skip(b); !errors.Is(err, msgpack.ErrInvalid) {
			t.Errorf("%x: Skip: %v", b, err)
		}
		if err := msgpack.Check(b, unlimited); !errors.Is(err, msgpack.ErrInvalid) {
			t.Errorf("%x: Check: %v", b, err)
		}
	}
}

// Need is a true lower bound, and never more than a value may have.
func TestNeed(t *testing.T) {
	t.Parallel()
	for _, sm := range samples() {
		var s msgpack.Scanner
		s.Reset(unlimited)
		last := 0
		for n := range len(sm.b) + 1 {
			_, _, _ = s.Scan(sm.b[:n])
			need := s.Need()
			if need < last || need > len(sm.b) {
				t.Errorf("%s: after %d of %d bytes it needs %d, %d before", sm.name, n, len(sm.b), need, last)
			}
			last = need
		}
		if last != len(sm.b) {
			t.Errorf("%s: needs %d in the end, of %d", sm.name, last, len(sm.b))
		}
	}
	for _, tt := range []struct {
		b    []byte
		want int
	}{
		{nil, 0},
		{unhex("da 1000"), 3 + 0x1000},
		{unhex("92 da 1000"), 1 + 3 + 0x1000 + 1},
		{unhex("dc 1000"), 3 + 0x1000},
		{unhex("9f 8f 00"), 1 + 1 + 1 + 29 + 14},
		{unhex("da ffff"), 1 << 12}, // over the limit below
		{unhex("c6 ffffffff"), 1 << 12},
		{unhex("dd 000fffff"), 1 << 12},
	} {
		var s msgpack.Scanner
		s.Reset(msgpack.Limits{Bytes: 1 << 12, Values: 1 << 20, Depth: 4})
		if tt.want > 1<<12 {
			s.Reset(unlimited)
		}
		_, _, _ = s.Scan(tt.b)
		if got := s.Need(); got != tt.want {
			t.Errorf("%x needs %d; want %d", tt.b, got, tt.want)
		}
	}
	for _, h := range hostile() {
		for _, most := range []int{1, 100, math.MaxInt} {
			var s msgpack.Scanner
			s.Reset(msgpack.Limits{Bytes: most, Values: math.MaxInt, Depth: 1 << 10})
			_, _, _ = s.Scan(h.B)
			if need := s.Need(); need < 0 || need > most {
				t.Errorf("%s needs %d, and has %d at most", h.Name, need, most)
			}
		}
	}
}

// Reading a large value in many pieces must not start over each time.
func TestScanLooksAtEachByteOnce(t *testing.T) {
	t.Parallel()
	b := unhex("dc 03e8", fill(1, 1000))
	var s msgpack.Scanner
	s.Reset(unlimited)
	if _, done, err := s.Scan(b[:500]); done || err != nil {
		t.Fatal(done, err)
	}
	copy(b, fill(0xc1, 500))
	if end, done, err := s.Scan(b); end != len(b) || !done || err != nil {
		t.Errorf("%d, %v, %v; want %d", end, done, err, len(b))
	}
}

// A Scanner is one conversation's, whatever the value before was like.
func TestScannerReset(t *testing.T) {
	t.Parallel()
	var s msgpack.Scanner
	for _, before := range [][]byte{unhex("91 91 91"), unhex("c1"), unhex("c6 ffffffff"), fill(0x91, 100), unhex("dd ffffffff"), unhex("93 01")} {
		for _, sm := range samples() {
			s.Reset(unlimited)
			_, _, _ = s.Scan(before)
			s.Reset(msgpack.Limits{Bytes: len(sm.b), Values: sm.values, Depth: max(sm.depth, 1)})
			if s.Need() != 0 {
				t.Errorf("needs %d after Reset", s.Need())
			}
			if end, done, err := s.Scan(sm.b); end != len(sm.b) || !done || err != nil {
				t.Errorf("%s after %x: %d, %v, %v", sm.name, before[:1], end, done, err)
			}
		}
	}
}

// All that v0.6 was heard to say is a row of whole values.
func TestScanRecorded(t *testing.T) {
	t.Parallel()
	for _, b := range recorded(t) {
		for rest := b; len(rest) > 0; {
			end, done, err := scan(rest, production)
			if !done || err != nil {
				t.Fatalf("%x: %v, %v", rest, done, err)
			}
			rest = rest[end:]
		}
	}
}
