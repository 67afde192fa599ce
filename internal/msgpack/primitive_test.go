package msgpack_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// encode is v0.6's own encoding.
func encode(t *testing.T, v any) []byte {
	t.Helper()
	var b []byte
	if err := codec.NewEncoderBytes(&b, &codec.MsgpackHandle{}).Encode(v); err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(b []byte, v any) error {
	return codec.NewDecoderBytes(b, &codec.MsgpackHandle{}).Decode(v)
}

// lengths are those around which a string's head changes.
var lengths = []int{0, 1, 31, 32, 255, 256, math.MaxUint16, math.MaxUint16 + 1}

func TestAppendString(t *testing.T) {
	t.Parallel()
	for _, n := range lengths {
		s := strings.Repeat("x", n)
		b := msgpack.AppendString([]byte("before"), s)
		b, ok := bytes.CutPrefix(b, []byte("before"))
		if !ok || !bytes.Equal(b, encode(t, s)) {
			t.Errorf("a string of %d bytes is not what v0.6 writes: %x", n, b[:min(len(b), 5)])
		}
		if len(b)-n > 5 {
			t.Errorf("a string of %d bytes has a head of %d", n, len(b)-n)
		}
		got, rest, err := msgpack.ReadString(append(b, "after"...))
		if string(got) != s || string(rest) != "after" || err != nil {
			t.Errorf("a string of %d bytes comes back with %d, then %q, %v", n, len(got), rest, err)
		}
	}
}

func TestReadString(t *testing.T) {
	t.Parallel()
	for _, sm := range samples() {
		got, rest, err := msgpack.ReadString(slices.Concat(sm.b, []byte("rest")))
		switch {
		case sm.kind == "a msgpack string":
			want := fill(0xc1, bytes.Count(sm.b, []byte{0xc1}))
			if !bytes.Equal(got, want) || string(rest) != "rest" || err != nil {
				t.Errorf("%s: %x, then %q, %v", sm.name, got, rest, err)
			}
		case sm.name == "nil":
			if len(got) != 0 || string(rest) != "rest" || err != nil {
				t.Errorf("nil: %x, then %q, %v", got, rest, err)
			}
		case err == nil || got != nil || rest != nil:
			t.Errorf("%s is read as the string %x, %v", sm.name, got, err)
		case !strings.Contains(err.Error(), sm.kind) || !strings.Contains(err.Error(), "a msgpack string is expected"):
			t.Errorf("%s: %v", sm.name, err)
		}
	}
}

func TestAppendUint(t *testing.T) {
	t.Parallel()
	for n, size := range map[uint64]int{
		0: 1, 127: 1, 128: 2, 255: 2, 256: 3, math.MaxUint16: 3, math.MaxUint16 + 1: 5,
		math.MaxUint32: 5, math.MaxUint32 + 1: 9, math.MaxInt64: 9, math.MaxInt64 + 1: 9, math.MaxUint64: 9,
	} {
		b := msgpack.AppendUint(nil, n)
		if len(b) != size {
			t.Errorf("%d takes %d bytes; want %d", n, len(b), size)
		}
		var v uint64
		if err := decode(b, &v); err != nil || v != n {
			t.Errorf("v0.6 reads %d as %d, %v", n, v, err)
		}
		got, rest, err := msgpack.ReadUint(append(b, 0xc1))
		if got != n || len(rest) != 1 || err != nil {
			t.Errorf("%d comes back as %d, %d left, %v", n, got, len(rest), err)
		}
	}
}

func TestReadUint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		b    []byte
		want uint64
		err  string
	}{
		{unhex("c0"), 0, ""},
		{unhex("00"), 0, ""},
		{unhex("7f"), 127, ""},
		{unhex("cc ff"), 255, ""},
		{unhex("cd ffff"), 65535, ""},
		{unhex("ce ffffffff"), math.MaxUint32, ""},
		{unhex("cf ffffffffffffffff"), math.MaxUint64, ""},
		// v0.6 writes a positive int in the signed forms.
		{unhex("d0 7f"), 127, ""},
		{unhex("d1 0080"), 128, ""},
		{unhex("d2 7fffffff"), math.MaxInt32, ""},
		{unhex("d3 7fffffffffffffff"), math.MaxInt64, ""},
		{unhex("ff"), 0, "negative integer -1 "},
		{unhex("e0"), 0, "negative integer -32 "},
		{unhex("d0 80"), 0, "negative integer -128 "},
		{unhex("d1 8000"), 0, "negative integer -32768 "},
		{unhex("d2 80000000"), 0, "negative integer -2147483648 "},
		{unhex("d3 8000000000000000"), 0, "negative integer -9223372036854775808 "},
		{unhex("c3"), 0, "a msgpack boolean where a msgpack integer is expected"},
		{unhex("ca 00000000"), 0, "a msgpack float where"},
		{unhex("a131"), 0, "a msgpack string where"},
		{unhex("90"), 0, "a msgpack array where"},
		{unhex("80"), 0, "a msgpack map where"},
		{unhex("d4 05 01"), 0, "a msgpack extension where"},
		{unhex("c1"), 0, "an invalid byte where"},
		{nil, 0, "too early"},
	}
	for _, tt := range tests {
		got, rest, err := msgpack.ReadUint(append(tt.b, 0xc3)[:len(tt.b)])
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || got != 0 || rest != nil {
				t.Errorf("%x: %d, %x, %v; want an error with %q", tt.b, got, rest, err, tt.err)
			}
			continue
		}
		if got != tt.want || len(rest) != 0 || err != nil {
			t.Errorf("%x: %d, %x, %v; want %d", tt.b, got, rest, err, tt.want)
		}
		for cut := range len(tt.b) {
			if _, _, err := msgpack.ReadUint(tt.b[:cut:cut]); err == nil {
				t.Errorf("the first %d bytes of %x are a number", cut, tt.b)
			}
		}
	}
}

func TestAppendMap(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "80", 1: "81", 15: "8f", 16: "de0010", 256: "de0100", math.MaxUint16: "deffff"} {
		b := msgpack.AppendMap(nil, n)
		if fmt.Sprintf("%x", b) != want {
			t.Errorf("a map of %d starts with %x; want %s", n, b, want)
		}
		b = append(b, fill(0xc0, 2*n)...)
		if err := msgpack.Check(b, unlimited); err != nil {
			t.Errorf("a map of %d: %v", n, err)
		}
		if pairs, rest, err := msgpack.ReadMap(b); pairs != n || len(rest) != 2*n || err != nil {
			t.Errorf("a map of %d comes back with %d, %d bytes left, %v", n, pairs, len(rest), err)
		}
	}
}

func TestReadMap(t *testing.T) {
	t.Parallel()
	for _, sm := range samples() {
		pairs, rest, err := msgpack.ReadMap(sm.b)
		switch {
		case sm.kind == "a msgpack map":
			want := map[string]int{"fixmap 0": 0, "fixmap 1": 1, "fixmap 15": 15, "map16 0": 0, "map16": 17, "map32": 18, "map of maps": 2}
			if n, ok := want[sm.name]; !ok || pairs != n || err != nil {
				t.Errorf("%s: %d pairs, %v", sm.name, pairs, err)
			}
		case sm.name == "nil":
			if pairs != 0 || len(rest) != 0 || err != nil {
				t.Errorf("nil: %d pairs, %x left, %v", pairs, rest, err)
			}
		case err == nil || pairs != 0 || rest != nil:
			t.Errorf("%s is read as a map of %d, %v", sm.name, pairs, err)
		case !strings.Contains(err.Error(), sm.kind):
			t.Errorf("%s: %v", sm.name, err)
		}
	}
	for _, b := range [][]byte{
		nil, unhex("de"), unhex("de00"), unhex("df"), unhex("df 000000"),
		unhex("81"), unhex("81 c0"), unhex("de 0002 c0c0c0"), unhex("df 7fffffff"), // more pairs than there can be
	} {
		if pairs, _, err := msgpack.ReadMap(b); err == nil {
			t.Errorf("%x is a map of %d", b, pairs)
		}
	}
}

// A count that no int of 32 bits holds must not come out as a small one.
func TestReadMapHugeCount(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{unhex("df ffffffff"), unhex("df 80000000"), unhex("df 7fffffff")} {
		if pairs, _, err := msgpack.ReadMap(b); err == nil && pairs <= 0 {
			t.Errorf("%x: %d pairs and no error", b, pairs)
		}
		if m, _, err := msgpack.ReadStringMap(b); err == nil {
			t.Errorf("%x: the map %v and no error", b, m)
		}
	}
}

func TestStringMap(t *testing.T) {
	t.Parallel()
	many := make(map[string]string)
	for i := range 300 {
		many[fmt.Sprint(i)] = strings.Repeat("y", i)
	}
	long := make(map[string]string)
	for _, n := range lengths {
		long[strings.Repeat("k", n)] = strings.Repeat("v", n)
	}
	for name, m := range map[string]map[string]string{
		"nil": nil, "empty": {}, "one": {"k": "v"}, "empty strings": {"": ""}, "not UTF-8": {"\xff\x00": "\xc1"}, "many": many, "long": long,
	} {
		b := msgpack.AppendStringMap([]byte{0xc3}, m)[1:]
		if most := msgpack.StringMapSize(m) + 3; len(b) > most {
			t.Errorf("%s: %d bytes, at most %d were to be", name, len(b), most)
		}
		var theirs map[string]string
		if err := decode(b, &theirs); err != nil || !maps.Equal(theirs, m) {
			t.Errorf("%s: v0.6 reads something else, %v", name, err)
		}
		got, rest, err := msgpack.ReadStringMap(append(b, 0xc1))
		if !maps.Equal(got, m) || len(rest) != 1 || err != nil {
			t.Errorf("%s: %d pairs of %d come back, %d bytes left, %v", name, len(got), len(m), len(rest), err)
		}
		if len(b) > 10<<10 {
			continue
		}
		for cut := range len(b) {
			if got, _, err := msgpack.ReadStringMap(b[:cut:cut]); err == nil || got != nil {
				t.Errorf("%s: the first %d bytes of %d: %v, %v", name, cut, len(b), got, err)
				break
			}
		}
	}
}

func TestReadStringMap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		b    []byte
		want map[string]string
		err  string
	}{
		{unhex("c0"), nil, ""},
		{unhex("80"), nil, ""},
		{unhex("81 a16b c0"), map[string]string{"k": ""}, ""},
		{unhex("81 c0 a176"), map[string]string{"": "v"}, ""},
		{unhex("81 c4016b d90176"), map[string]string{"k": "v"}, ""},
		{unhex("82 a16b a176 a16b a177"), map[string]string{"k": "w"}, ""},
		{unhex("90"), nil, "a msgpack array where a msgpack map is expected"},
		{unhex("a0"), nil, "a msgpack string where a msgpack map"},
		{unhex("81 01 a176"), nil, "a msgpack integer where a msgpack string is expected"},
		{unhex("81 a16b 01"), nil, "a msgpack integer where a msgpack string is expected"},
		{unhex("81 a16b 90"), nil, "a msgpack array where a msgpack string is expected"},
		{unhex("81 a16b dd7fffffff"), nil, "a msgpack array where a msgpack string is expected"},
		{unhex("81 a16b db7fffffff"), nil, "too early"},
		{unhex("81 a16b"), nil, "too early"},
	}
	for _, tt := range tests {
		got, rest, err := msgpack.ReadStringMap(tt.b)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || got != nil || rest != nil {
				t.Errorf("%x: %v, %x, %v; want an error with %q", tt.b, got, rest, err, tt.err)
			}
			continue
		}
		if !maps.Equal(got, tt.want) || len(rest) != 0 || err != nil {
			t.Errorf("%x: %v, %x, %v; want %v", tt.b, got, rest, err, tt.want)
		}
	}
}

// Not parallel, for it measures the whole process: a head that promises much
// where a string or a map is wanted costs nothing.
func TestReadHostileTakesNoMemory(t *testing.T) {
	for _, b := range [][]byte{
		unhex("dd 7fffffff"), unhex("df 7fffffff"), unhex("c6 7fffffff"), unhex("db ffffffff"), unhex("81 a16b c6 7fffffff"),
	} {
		n := testing.AllocsPerRun(10, func() {
			_, _, _ = msgpack.ReadString(b)
			_, _, _ = msgpack.ReadStringMap(b)
			_, _, _ = msgpack.ReadUint(b)
		})
		if n > 20 { // errors and an empty map
			t.Errorf("%x: %v allocations", b, n)
		}
		if _, _, err := msgpack.ReadString(b); err == nil {
			t.Errorf("%x is a string", b)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for _, sm := range samples() {
		if got := msgpack.Describe(sm.b); got != sm.kind {
			t.Errorf("%s is %q; want %q", sm.name, got, sm.kind)
		}
		if got, want := msgpack.IsNil(sm.b), sm.name == "nil"; got != want {
			t.Errorf("%s is nil: %v", sm.name, got)
		}
	}
	if got := msgpack.Describe([]byte{0xc1}); got != "an invalid byte" {
		t.Errorf("0xc1 is %q", got)
	}
	for _, b := range [][]byte{nil, unhex("da"), unhex("cf 00000000000000")} {
		if got := msgpack.Describe(b); got != "nothing" {
			t.Errorf("%x is %q", b, got)
		}
	}
	if msgpack.IsNil(nil) {
		t.Error("nothing is nil")
	}
}
