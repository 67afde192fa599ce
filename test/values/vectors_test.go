package values_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectorsFile is described in testdata/vectors/README.md.
const vectorsFile = "../../testdata/vectors/vectors.json"

// vector is one value, and how it is written.
type vector struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Modern string `json:"modern"`         // in hexadecimal, on P/3 and sessions
	Plain  string `json:"plain"`          // on P
	Also   []also `json:"also,omitempty"` // other encodings that are taken as the value
	Not    []also `json:"not,omitempty"`  // encodings that are refused where its type is wanted
	goes   any    // the value in Go
}

type also struct {
	Why string `json:"why"`
	Hex string `json:"hex"`
}

// The words that JSON has none for.
func jsonInt[T int64 | uint64](n T) any { return map[string]string{"int": fmt.Sprint(n)} }
func jsonFloat(f float64) any           { return map[string]string{"float": fmt.Sprint(f)} }
func jsonBytes(b []byte) any            { return map[string]string{"bytes": hex.EncodeToString(b)} }
func jsonTime(t time.Time) any          { return map[string]string{"time": t.UTC().Format(time.RFC3339Nano)} }

type vectorStruct struct {
	Name  string
	Raw   []byte
	At    time.Time
	Count uint64 `codec:"n,omitempty"`
	Next  *vectorStruct
}

type vectorArray struct {
	_struct struct{} `codec:",toarray"` //lint:ignore U1000 the codec reads its tag
	A       int
	B       string
}

func vectors(t *testing.T) (all []vector) {
	add := func(name string, goes, value any, more ...func(*vector)) {
		v := vector{Name: name, Value: value, goes: goes}
		for _, f := range more {
			f(&v)
		}
		all = append(all, v)
	}
	taken := func(hex, why string) func(*vector) {
		return func(v *vector) { v.Also = append(v.Also, also{why, hex}) }
	}
	refused := func(hex, why string) func(*vector) { return func(v *vector) { v.Not = append(v.Not, also{why, hex}) } }

	add("nil", (*int)(nil), nil)
	add("false", false, false, refused("00", "an integer"))
	add("true", true, true, refused("01", "an integer"))
	for _, n := range []int64{0, 1, 127, 128, 32767, 32768, math.MaxInt32, math.MaxInt32 + 1, 1 << 53, math.MaxInt64, -1, -32, -33, -128, -129, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64} {
		add(fmt.Sprintf("int64 %d", n), n, jsonInt(n))
	}
	for _, n := range []uint64{0, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, 1<<53 + 1, math.MaxUint64} {
		add(fmt.Sprintf("uint64 %d", n), n, jsonInt(n), refused("ff", "a negative integer"))
	}
	add("int64 1 of other libraries", int64(1), jsonInt(int64(1)),
		taken("cc01", "uint8"), taken("d30000000000000001", "int64"), taken("cf0000000000000001", "uint64"), taken("cb3ff0000000000000", "a whole float"),
		refused("cb3ff8000000000000", "1.5"), refused("a131", "a string"), refused("c3", "a bool"))
	add("float64", 1.5, jsonFloat(1.5), taken("ca3fc00000", "a float of 32 bits"))
	add("float64 3", 3.0, jsonFloat(3), taken("03", "an integer that is exact"))
	add("float64 +Inf", math.Inf(1), jsonFloat(math.Inf(1)))
	add("float32", float32(1.5), jsonFloat(1.5))
	for _, n := range []int{0, 1, 31, 32, 255, 256} { // more would make the file large
		s := string(bytes.Repeat([]byte("s"), n))
		add(fmt.Sprintf("string of %d", n), s, s)
		b := bytes.Repeat([]byte{0xff}, n)
		add(fmt.Sprintf("bytes of %d", n), b, jsonBytes(b))
	}
	add("string, not ASCII", "Zürich 日本", "Zürich 日本", taken("c40e5ac3bc7269636820e697a5e69cac", "as bytes"))
	add("time, whole seconds", time.Unix(1, 0), jsonTime(time.Unix(1, 0)))
	add("time, nanoseconds", time.Date(2024, 2, 29, 12, 34, 56, 789, time.UTC), jsonTime(time.Date(2024, 2, 29, 12, 34, 56, 789, time.UTC)))
	add("time, before 1970", time.Unix(-1, 999), jsonTime(time.Unix(-1, 999)), refused("01", "an integer"))
	add("time, after 2514", time.Unix(1<<34, 1), jsonTime(time.Unix(1<<34, 1)))
	add("zero time", time.Time{}, nil)
	add("list", []int64{1, -1, 300}, []any{jsonInt(int64(1)), jsonInt(int64(-1)), jsonInt(int64(300))})
	add("empty list", []int64{}, []any{})
	add("nil list", []int64(nil), nil)
	add("map", map[string]int64{"a": 1}, map[string]any{"a": jsonInt(int64(1))})
	inner := &vectorStruct{Name: "inner", Count: 7}
	add("struct", vectorStruct{"x", []byte{0, 0xff}, time.Unix(1, 0), 0, inner}, map[string]any{
		"Name": "x", "Raw": jsonBytes([]byte{0, 0xff}), "At": jsonTime(time.Unix(1, 0)),
		"Next": map[string]any{"Name": "inner", "Raw": nil, "At": nil, "n": jsonInt(uint64(7)), "Next": nil},
	})
	add("struct as an array", vectorArray{A: 1, B: "b"}, []any{jsonInt(int64(1)), "b"})
	add("any: list of all kinds", []any{nil, true, int64(-5), uint64(math.MaxUint64), 1.5, "s", []byte{1}, time.Unix(1, 5).UTC(), []any{}, map[string]any{"k": "v"}},
		[]any{nil, true, jsonInt(int64(-5)), jsonInt(uint64(math.MaxUint64)), jsonFloat(1.5), "s", jsonBytes([]byte{1}), jsonTime(time.Unix(1, 5)), []any{}, map[string]any{"k": "v"}})
	id, err := peer.Decode("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp")
	if err != nil {
		t.Fatal(err)
	}
	add("peer ID", id, jsonBytes([]byte(id)))
	add("empty peer ID", peer.ID(""), jsonBytes(nil))
	for i := range all {
		for form, to := range map[codec.Form]*string{codec.Plain: &all[i].Plain, codec.Modern: &all[i].Modern} {
			b, err := codec.Append(nil, all[i].goes, form)
			if err != nil {
				t.Fatalf("%s: %v", all[i].Name, err)
			}
			*to = hex.EncodeToString(b)
		}
	}
	return all
}

// What another implementation is checked against is what this one writes and reads.
func TestVectors(t *testing.T) {
	all := vectors(t)
	var text bytes.Buffer
	text.WriteString("[\n")
	for i, v := range all {
		line, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(line)
		if i < len(all)-1 {
			text.WriteByte(',')
		}
		text.WriteByte('\n')
	}
	text.WriteString("]\n")
	if *update {
		if err := os.WriteFile(vectorsFile, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, text.Bytes()) {
		t.Errorf("%s is not what is written now; with -update it is made anew", vectorsFile)
	}
	for _, v := range all {
		for form, b := range map[codec.Form]string{codec.Plain: v.Plain, codec.Modern: v.Modern} {
			v.check(t, form, b)
			for _, a := range v.Also {
				v.check(t, form, a.Hex)
			}
			for _, not := range v.Not {
				if got, err := v.decoded(not.Hex, form); err == nil {
					t.Errorf("%s: %s is taken, as %v", v.Name, not.Why, got)
				}
			}
		}
	}
}

// check reads an encoding, and compares what that is written as.
func (v *vector) check(t *testing.T, form codec.Form, text string) {
	t.Helper()
	got, err := v.decoded(text, form)
	if err != nil {
		t.Errorf("%s: %s: %v", v.Name, text, err)
		return
	}
	for _, again := range []codec.Form{codec.Plain, codec.Modern} {
		want := map[codec.Form]string{codec.Plain: v.Plain, codec.Modern: v.Modern}[again]
		if b, err := codec.Append(nil, got, again); err != nil || hex.EncodeToString(b) != want {
			if _, any := v.goes.([]any); any && (form == codec.Plain) != (again == codec.Plain) {
				continue // on P an any does not tell strings from bytes
			}
			t.Errorf("%s: %s is read as %v, which is written as %x, %v", v.Name, text, got, b, err)
		}
	}
}

// decoded reads an encoding into the value's type.
func (v *vector) decoded(text string, form codec.Form) (any, error) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var a account.Decoded
	a.Init(1 << 30)
	h := a.Of("peer")
	into := reflect.New(reflect.TypeOf(v.goes))
	m := codec.Message{B: b, Form: form, Limits: msgpack.Limits{Bytes: 1 << 20, Values: 1 << 16, Depth: 16}}
	_, err = codec.Decode(m, into.Interface(), 1<<30, &h)
	return into.Elem().Interface(), err
}
