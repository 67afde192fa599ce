package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// production is what the library sets for a message unless told otherwise.
var production = msgpack.Limits{Bytes: 16 << 20, Values: 262144, Depth: 64}

// unhex joins hex digits and spaces; what follows them is appended as it is.
func unhex(digits string, tail ...[]byte) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		panic(err)
	}
	return slices.Concat(append([][]byte{b}, tail...)...)
}

func fill(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// conversation is one recorded call of v0.6 to itself.
type conversation struct {
	Name, Kind, Service, Method, Error string
	ErrorKind                          string `json:"error_kind"`
	Events                             []struct{ Dir, Hex string }
}

func recorded(tb testing.TB) []conversation {
	raw, err := os.ReadFile("../../test/compat/testdata/transcripts.json")
	if err != nil {
		tb.Fatal(err)
	}
	var file struct{ Cases []conversation }
	if err := json.Unmarshal(raw, &file); err != nil {
		tb.Fatal(err)
	}
	if len(file.Cases) < 50 {
		tb.Fatalf("only %d recordings", len(file.Cases))
	}
	return file.Cases
}

// said returns the values that went in the given direction.
func (c *conversation) said(tb testing.TB, dir string) (values [][]byte) {
	var all []byte
	for _, e := range c.Events {
		if e.Dir == dir {
			all = append(all, unhex(e.Hex)...)
		}
	}
	for len(all) > 0 {
		rest, err := msgpack.Skip(all)
		if err != nil {
			tb.Fatalf("%s: %v", c.Name, err)
		}
		values = append(values, all[:len(all)-len(rest)])
		all = rest
	}
	return values
}

// To a v0.6 peer, nothing has changed: not a byte.
func TestRecordedBytes(t *testing.T) {
	t.Parallel()
	kinds := map[string]int{"": 0, "non-rpc": 0, "server": 1, "client": 2, "authorization": 3}
	for _, c := range recorded(t) {
		want := c.said(t, "client->server")[0]
		if got := wire.AppendHeader(nil, &wire.Header{Service: c.Service, Method: c.Method}); !bytes.Equal(got, want) {
			t.Errorf("%s: the header is\n%x, v0.6 has\n%x", c.Name, got, want)
		}
		h, err := wire.ParseHeader(want)
		if err != nil || !reflect.DeepEqual(h, wire.Header{Service: c.Service, Method: c.Method}) {
			t.Errorf("%s: %+v, %v", c.Name, h, err)
		}

		answers := c.said(t, "server->client")
		if len(answers)%2 != 0 {
			t.Errorf("%s: %d values are no pairs of response and reply", c.Name, len(answers))
		}
		for i := 0; i+1 < len(answers); i += 2 {
			r, err := wire.ParseResponse(answers[i])
			if err != nil {
				t.Errorf("%s: %v", c.Name, err)
				continue
			}
			want := wire.Response{Code: -1}
			if i == len(answers)-2 {
				want.Error, want.ErrType = c.Error, kinds[c.ErrorKind]
			}
			if !reflect.DeepEqual(r, want) {
				t.Errorf("%s: response %d is %+v; want %+v", c.Name, i/2, r, want)
			}
			r.Service, r.Method = c.Service, c.Method
			if got := wire.AppendResponse(nil, &r); !bytes.Equal(got, answers[i]) {
				t.Errorf("%s: the response is\n%x, v0.6 has\n%x", c.Name, got, answers[i])
			}
		}
	}
}

// The bytes that docs/wire.md shows, spelled out.
func TestExactBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{wire.AppendHeader(nil, &wire.Header{Service: "Svc", Method: "Multiply"}),
			"\x82\xa4Name\xa3Svc\xa6Method\xa8Multiply"},
		{wire.AppendHeader(nil, &wire.Header{}), "\x82\xa4Name\xa0\xa6Method\xa0"},
		{wire.AppendHeader(nil, &wire.Header{Service: "S", Method: "M", Timeout: -1, Metadata: map[string]string{}}),
			"\x82\xa4Name\xa1S\xa6Method\xa1M"},
		{wire.AppendHeader([]byte("kept"), &wire.Header{Service: "S", Method: "M", Kind: wire.KindStreaming, Timeout: 128, Metadata: map[string]string{"k": "v"}}),
			"kept\x85\xa4Name\xa1S\xa6Method\xa1M\xa4Kind\x02\xa7Timeout\xcc\x80\xa8Metadata\x81\xa1k\xa1v"},
		{wire.AppendResponse(nil, &wire.Response{Service: "Svc", Method: "Multiply", Code: -1}),
			"\x81\xa7Service\x82\xa4Name\xa3Svc\xa6Method\xa8Multiply"},
		{wire.AppendResponse(nil, &wire.Response{Code: -1}), "\x80"},
		{wire.AppendResponse(nil, &wire.Response{Method: "M", Code: -1}), "\x81\xa7Service\x82\xa4Name\xa0\xa6Method\xa1M"},
		{wire.AppendResponse(nil, &wire.Response{Code: 0}), "\x81\xa4Code\x00"},
		{wire.AppendResponse([]byte("kept"), &wire.Response{Service: "S", Method: "M", Error: "e", ErrType: 3, Code: 7, Details: map[string]string{"k": "v"}}),
			"kept\x85\xa7Service\x82\xa4Name\xa1S\xa6Method\xa1M\xa5Error\xa1e\xa7ErrType\x03\xa4Code\x07\xa7Details\x81\xa1k\xa1v"},
		{wire.AppendResponse(nil, &wire.Response{Code: -1, Header: map[string]string{"h": "1"}, Trailer: map[string]string{"t": "2"}}),
			"\x82\xa6Header\x81\xa1h\xa11\xa7Trailer\x81\xa1t\xa12"},
		{wire.AppendHeader(nil, &wire.Header{Service: "S", Method: "M", Kind: wire.KindStreaming, Begun: true, Timeout: 1}),
			"\x85\xa4Name\xa1S\xa6Method\xa1M\xa4Kind\x02\xa5Begun\x01\xa7Timeout\x01"},
		{wire.AppendResponse(nil, &wire.Response{Code: -1, Begun: true}), "\x81\xa5Begun\x01"},
		{wire.AppendResponse(nil, &wire.Response{Code: -1, Header: map[string]string{}, Trailer: map[string]string{}}), "\x80"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%q; want %q", tt.got, tt.want)
		}
	}
}

func manyPairs() map[string]string {
	many := make(map[string]string)
	for i := range 100 {
		many[fmt.Sprint(i)] = strings.Repeat("v", i)
	}
	return many
}

func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	many := manyPairs()
	for _, h := range []wire.Header{
		{},
		{Service: "S", Method: "M"},
		{Service: strings.Repeat("s", 31), Method: strings.Repeat("m", 32)},
		{Service: strings.Repeat("s", 1<<16), Method: "\xff\x00\xc1"},
		{Kind: wire.KindUnary},
		{Kind: wire.KindStreaming, Timeout: 1},
		{Timeout: time.Hour},
		{Timeout: math.MaxInt64},
		{Metadata: map[string]string{"": ""}},
		{Service: "S", Method: "M", Kind: wire.KindUnary, Timeout: time.Second, Metadata: many},
	} {
		b := wire.AppendHeader(nil, &h)
		if err := msgpack.Check(b, production); err != nil {
			t.Errorf("%+v: %v", h, err)
		}
		if got, err := wire.ParseHeader(b); err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%+v comes back as %+v, %v", h, got, err)
		}
	}
}

func TestResponseRoundTrip(t *testing.T) {
	t.Parallel()
	many := manyPairs()
	for _, r := range []wire.Response{
		{Code: -1},
		{},
		{Error: "e", Code: -1},
		{Error: strings.Repeat("e", 1<<16), ErrType: 3, Code: 16},
		{ErrType: 1, Code: -1, Details: map[string]string{"k": "v", "": ""}},
		{Code: 1 << 16, ErrType: 1 << 16},
		{Code: -1, Header: map[string]string{"": ""}},
		{Code: -1, Trailer: many},
		{Code: -1, Begun: true, Header: many},
		{Error: "e", Code: 5, Details: map[string]string{"k": "v"}, Header: many, Trailer: map[string]string{"k": "\xff\x00\xc1"}},
	} {
		b := wire.AppendResponse(nil, &r)
		if err := msgpack.Check(b, production); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		if got, err := wire.ParseResponse(b); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v comes back as %+v, %v", r, got, err)
		}
		// The service is an echo, and read by none.
		r2 := r
		r2.Service, r2.Method = "S", "M"
		if got, err := wire.ParseResponse(wire.AppendResponse(nil, &r2)); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v comes back as %+v, %v", r2, got, err)
		}
	}
}

// anything has a value of each sort, by its name in errors.
var anything = map[string][]byte{
	"msgpack nil":         unhex("c0"),
	"a msgpack boolean":   unhex("c3"),
	"a msgpack integer":   unhex("cd ffff"),
	"a msgpack float":     unhex("cb 0000000000000000"),
	"a msgpack string":    unhex("a3 c1c1c1"),
	"a msgpack array":     unhex("93 01 9101 90"),
	"a msgpack map":       unhex("82 a16b 81 c0 c0 01 02"),
	"a msgpack extension": unhex("d6 05 c1c1c1c1"),
}

// pair is a key of a map and its value.
func pair(key string, value []byte) []byte {
	return append(msgpack.AppendString(nil, key), value...)
}

// What a later version adds is not ours to refuse.
func TestUnknownKeysAreSkipped(t *testing.T) {
	t.Parallel()
	known := [][]byte{pair("Name", unhex("a153")), pair("Method", unhex("a14d")), pair("Error", unhex("a165")), pair("Code", unhex("07"))}
	for kind, value := range anything {
		for at := range len(known) + 1 {
			for _, key := range []string{"Unknown", "name", "", "NameX", strings.Repeat("k", 300)} {
				pairs := slices.Insert(slices.Clone(known), at, pair(key, value))
				b := unhex("85", pairs...)
				if h, err := wire.ParseHeader(b); err != nil || h.Service != "S" || h.Method != "M" {
					t.Errorf("header with %s at %.10q, %d: %+v, %v", kind, key, at, h, err)
				}
				if r, err := wire.ParseResponse(b); err != nil || r.Error != "e" || r.Code != 7 {
					t.Errorf("response with %s at %.10q, %d: %+v, %v", kind, key, at, r, err)
				}
			}
		}
		if r, err := wire.ParseResponse(unhex("81", pair("Service", value))); err != nil || !reflect.DeepEqual(r, wire.Response{Code: -1}) {
			t.Errorf("response with %s for a service: %+v, %v", kind, r, err)
		}
	}
}

// Nil is the zero of every field: v0.6's codec writes it for some.
func TestWrongTypesNameTheKey(t *testing.T) {
	t.Parallel()
	header := func(b []byte) (any, error) { return wire.ParseHeader(b) }
	response := func(b []byte) (any, error) { return wire.ParseResponse(b) }
	for _, tt := range []struct {
		key   string
		want  string
		parse func([]byte) (any, error)
		zero  any
	}{
		{"Name", "a msgpack string", header, wire.Header{}},
		{"Method", "a msgpack string", header, wire.Header{}},
		{"Kind", "a msgpack integer", header, wire.Header{}},
		{"Begun", "a msgpack integer", header, wire.Header{}},
		{"Timeout", "a msgpack integer", header, wire.Header{}},
		{"Metadata", "a msgpack map", header, wire.Header{}},
		{"Error", "a msgpack string", response, wire.Response{Code: -1}},
		{"ErrType", "a msgpack integer", response, wire.Response{Code: -1}},
		{"Code", "a msgpack integer", response, wire.Response{}},
		{"Details", "a msgpack map", response, wire.Response{Code: -1}},
		{"Begun", "a msgpack integer", response, wire.Response{Code: -1}},
		{"Header", "a msgpack map", response, wire.Response{Code: -1}},
		{"Trailer", "a msgpack map", response, wire.Response{Code: -1}},
	} {
		for kind, value := range anything {
			got, err := tt.parse(unhex("82", pair("Unknown", unhex("01")), pair(tt.key, value)))
			switch {
			case kind == "msgpack nil":
				if err != nil || !reflect.DeepEqual(got, tt.zero) {
					t.Errorf("nil at %s: %+v, %v; want %+v", tt.key, got, err, tt.zero)
				}
			case kind == tt.want && kind != "a msgpack map":
				if err != nil {
					t.Errorf("%s at %s: %v", kind, tt.key, err)
				}
			default:
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", tt.key)) || !strings.Contains(err.Error(), "expected") {
					t.Errorf("%s at %s: %v", kind, tt.key, err)
				}
			}
		}
		if tt.want == "a msgpack integer" {
			if _, err := tt.parse(unhex("81", pair(tt.key, unhex("ff")))); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", tt.key)) {
				t.Errorf("-1 at %s: %v", tt.key, err)
			}
		}
	}
}

func TestNotAHeader(t *testing.T) {
	t.Parallel()
	for kind, b := range anything {
		if kind == "a msgpack map" {
			continue
		}
		if h, err := wire.ParseHeader(b); err == nil || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s for a header: %+v, %v", kind, h, err)
		}
		if r, err := wire.ParseResponse(b); err == nil || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s for a response: %+v, %v", kind, r, err)
		}
	}
	for _, b := range [][]byte{nil, {0xc1}, {wire.StreamEnd}, unhex("dd 7fffffff"), unhex("81 01 01"), unhex("81 90 01"), unhex("81 80 01")} {
		if h, err := wire.ParseHeader(b); err == nil {
			t.Errorf("%x for a header: %+v", b, h)
		}
		if r, err := wire.ParseResponse(b); err == nil {
			t.Errorf("%x for a response: %+v", b, r)
		}
	}
	if _, err := wire.ParseHeader(unhex("81", pair(strings.Repeat("k", 1<<20), unhex("c1")))); err == nil || len(err.Error()) > 200 {
		t.Errorf("a long key makes a long error, or none: %.200v", err)
	}
}

// A number that says too much is taken for the most there is, or for nothing.
func TestLargeNumbers(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{1 << 17, math.MaxUint32, 1 << 32, math.MaxInt64, 1 << 63, math.MaxUint64} {
		v := msgpack.AppendUint(nil, n)
		h, err := wire.ParseHeader(unhex("82", pair("Kind", v), pair("Timeout", v)))
		if want := time.Duration(min(n, math.MaxInt64)); err != nil || h.Kind != wire.KindUnknown || h.Timeout != want {
			t.Errorf("%d: %+v, %v", n, h, err)
		}
		r, err := wire.ParseResponse(unhex("82", pair("ErrType", v), pair("Code", v)))
		if err != nil || r.ErrType != 1<<16 || r.Code != 1<<16 {
			t.Errorf("%d: %+v, %v", n, r, err)
		}
	}
	for n, want := range []wire.Kind{wire.KindUnknown, wire.KindUnary, wire.KindStreaming, wire.KindUnknown} {
		if h, err := wire.ParseHeader(unhex("81", pair("Kind", []byte{byte(n)}))); err != nil || h.Kind != want {
			t.Errorf("kind %d is %d, %v", n, h.Kind, err)
		}
	}
	if h, err := wire.ParseHeader(unhex("81", pair("Kind", unhex("cd 0101")))); err != nil || h.Kind != wire.KindUnknown {
		t.Errorf("kind 257 is %d, %v", h.Kind, err)
	}
}

// The last of two wins, as it does with v0.6's codec.
func TestDuplicateKeys(t *testing.T) {
	t.Parallel()
	h, err := wire.ParseHeader(unhex("88",
		pair("Name", unhex("a141")), pair("Name", unhex("a142")),
		pair("Unknown", unhex("91 01")), pair("Unknown", unhex("02")),
		pair("Timeout", unhex("07")), pair("Timeout", unhex("08")),
		pair("Metadata", unhex("81 a161 a162")), pair("Metadata", unhex("81 a163 a164"))))
	if want := (wire.Header{Service: "B", Timeout: 8, Metadata: map[string]string{"c": "d"}}); err != nil || !reflect.DeepEqual(h, want) {
		t.Errorf("%+v, %v; want %+v", h, err, want)
	}
	r, err := wire.ParseResponse(unhex("84",
		pair("Error", unhex("a141")), pair("Error", unhex("a0")), pair("Code", unhex("01")), pair("Code", unhex("02"))))
	if want := (wire.Response{Code: 2}); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, %v; want %+v", r, err, want)
	}
	if _, err := wire.ParseHeader(unhex("82", pair("Name", unhex("a141")), pair("Name", unhex("01")))); err == nil {
		t.Error("the second of two names is a number, and no error")
	}
}

// Both are checked to be whole before they are parsed; if they were not, there
// would be an error.
func TestTruncatedHeaders(t *testing.T) {
	t.Parallel()
	b := wire.AppendHeader(nil, &wire.Header{Service: "Svc", Method: "M", Kind: wire.KindUnary, Timeout: time.Hour, Metadata: map[string]string{"k": "v"}})
	for cut := range len(b) {
		if h, err := wire.ParseHeader(b[:cut:cut]); err == nil {
			t.Errorf("the first %d bytes of %x are %+v", cut, b, h)
		}
	}
	b = wire.AppendResponse(nil, &wire.Response{Service: "Svc", Method: "M", Error: "e", ErrType: 1, Code: 200, Details: map[string]string{"k": "v"}, Header: map[string]string{"k": "v"}, Trailer: map[string]string{"k": "v"}})
	for cut := range len(b) {
		if r, err := wire.ParseResponse(b[:cut:cut]); err == nil {
			t.Errorf("the first %d bytes of %x are %+v", cut, b, r)
		}
	}
}
