package codec_test

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Types of all kinds that a plan knows.
type (
	Inner  struct{ A, B int }
	Base   struct{ X, Y string }
	hidden struct{ Z int }
	ByPtr  struct{ P []byte }

	Scalars struct {
		Bool bool
		I    int
		I8   int8
		I16  int16
		I32  int32
		I64  int64
		U    uint
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		Up   uintptr
		F32  float32
		F64  float64
		C64  complex64
		C128 complex128
		S    string
		B    []byte
		T    time.Time
		D    time.Duration
	}
	Embeds struct {
		Base
		hidden
		*ByPtr
		X string // hides Base's
	}
	Tags struct {
		Renamed string         `codec:"r"`
		Left    string         `codec:"l,omitempty"`
		Never   string         `codec:"-"`
		JSON    int            `json:"j,omitempty"`
		M       map[string]int `codec:",omitempty"`
		P       *int           `codec:"p,omitempty"`
		In      Inner          `codec:",omitempty"`
		Arr     [2]int         `codec:",omitempty"`
		Any     any            `codec:",omitempty"`
		Long    int            `codec:"a-name-that-is-longer-than-thirty-one-bytes"`
	}
	AllOmitted struct {
		_struct bool `codec:",omitempty"` //lint:ignore U1000 the codec looks for it
		A       int
		B       []string
	}
	AsArray struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		A       int
		S       []string `codec:",omitempty"`
		P       *Inner
	}
	ByNumber struct {
		_struct bool `codec:",int"` //lint:ignore U1000 the codec looks for it
		A       int  `codec:"1"`
		B       any  `codec:"-2"`
	}
	Lists struct {
		Ints  []int
		Int64 []int64
		Fl    []float64
		Strs  []string
		Anys  []any
		In    []Inner
		Ptrs  []*Inner
		Lists [][]uint16
		Small []tiny
		Bools []bool
		Arr   [3]int
		Raw   [4]byte
		Tiny  [2]tiny
		Named namedBytes
	}
	tiny       uint8
	namedBytes []byte
	namedMap   map[named]Inner
	named      string
	Maps       struct {
		Any   map[string]any
		Int   map[string]int64
		Str   map[string]string
		In    namedMap
		ByInt map[int]*Inner
		ByAny map[any]int
		Keyed map[Key]bool
	}
	Key  struct{ A int }
	Tree struct {
		V    int
		Kids []*Tree
		ByID map[string]Tree
		Up   **Tree
	}
	own   struct{ s string }
	byPtr struct{ s string }
	Owns  struct {
		O  own
		P  *own
		L  []byPtr
		M  map[own]byPtr
		It any
	}
	pairList []any
	Holds    struct {
		Any  any
		Pair pairList
		Chan chan int
		Err  error
	}
)

func (o own) MarshalBinary() ([]byte, error)    { return []byte("<" + o.s), nil }
func (o *own) UnmarshalBinary(b []byte) error   { return unmarshal(&o.s, b) }
func (o *byPtr) MarshalBinary() ([]byte, error) { return []byte("<" + o.s), nil }
func (o *byPtr) UnmarshalBinary(b []byte) error { return unmarshal(&o.s, b) }
func (pairList) MapBySlice()                    {}
func unmarshal(s *string, b []byte) error {
	if len(b) == 0 || b[0] != '<' {
		return errors.New("it begins with <")
	}
	*s = string(b[1:])
	return nil
}

// samples are values of each type.
func samples() []any {
	n, in := 7, Inner{1, -2}
	to := &n
	tree := &Tree{V: 1, Kids: []*Tree{nil, {V: 2}}, ByID: map[string]Tree{"a": {V: 3}}}
	tree.Up = &tree.Kids[1]
	long := string(bytes.Repeat([]byte("long "), 20))
	great := string(bytes.Repeat([]byte{0xcf}, 70000))
	return []any{
		&Scalars{}, &Scalars{true, -1, -128, -32768, math.MinInt32, math.MinInt64, 1, 255, 65535, math.MaxUint32, math.MaxUint64, 9, 1.5, math.Pi, 2, 3,
			long, []byte(long), time.Unix(1<<35, 5), time.Hour},
		&Scalars{I: 200, I16: 300, I32: 70000, I64: 1 << 40, U: 200, F64: math.Inf(-1), F32: float32(math.NaN()), S: great, T: time.Unix(5, 0), B: []byte{}},
		&Embeds{}, &Embeds{Base: Base{"x", "y"}, hidden: hidden{3}, ByPtr: &ByPtr{[]byte("p")}, X: "own"},
		&Tags{}, &Tags{"a", "b", "c", 4, map[string]int{"m": 1}, to, in, [2]int{0, 1}, "any", 5}, &Tags{M: map[string]int{}},
		&AllOmitted{}, &AllOmitted{A: 1, B: []string{}}, &AsArray{}, &AsArray{A: 1, S: []string{"s"}, P: &in},
		&ByNumber{A: 1, B: "b"},
		&Lists{}, &Lists{[]int{1, -200}, []int64{1 << 33}, []float64{0.5}, []string{"", long}, []any{nil, 1, "s", []byte("b"), map[string]any{"k": true}}, []Inner{in},
			[]*Inner{nil, &in}, [][]uint16{nil, {}, {300}}, []tiny{1, 255}, []bool{true}, [3]int{1, 2, 3}, [4]byte{1, 2, 3, 4}, [2]tiny{7, 8}, namedBytes("n")},
		&Maps{}, &Maps{map[string]any{long: 1.5}, map[string]int64{"a": 1 << 50}, map[string]string{"k": long}, namedMap{"n": in}, map[int]*Inner{-5: nil},
			map[any]int{"k": 1}, map[Key]bool{{2}: true}},
		&Maps{Any: map[string]any{}, ByAny: map[any]int{}, In: namedMap{}},
		tree, &Owns{}, &Owns{own{"o"}, &own{"p"}, []byPtr{{"l"}}, map[own]byPtr{{"k"}: {long}}, own{"in an any"}},
		&Holds{}, &Holds{Any: in, Pair: pairList{"k", 1}}, &Holds{Any: time.Unix(1, 2)}, &Holds{Any: map[int]string{1: "a"}},
		&Holds{Any: []any{uint8(200), int16(-3), float32(2), complex(1, 0), &in, []Inner{in}, pairList{}, named("x"), uint64(1 << 63)}},
		new(any), new(int), to, new(string), &long, new([]byte), &[]string{"a"}, &[2]string{"a", "b"}, &map[string]any{"a": 1}, &in, new(*Inner), new(bool), new(float32), new(time.Time),
	}
}

// types are those of the samples, once each.
func types() []reflect.Type {
	var all []reflect.Type
	for _, v := range samples() {
		if t := reflect.TypeOf(v).Elem(); !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

// plainLibrary is the codec library as v0.6 sets it, and modernLibrary with the one
// option that makes it write today's form.
var plainLibrary, modernLibrary = func() (plain, modern *ugorji.MsgpackHandle) {
	plain, modern = new(ugorji.MsgpackHandle), new(ugorji.MsgpackHandle)
	modern.WriteExt = true
	return plain, modern
}()

func byLibrary(t testing.TB, v any, h *ugorji.MsgpackHandle) []byte {
	t.Helper()
	var b []byte
	if err := ugorji.NewEncoderBytes(&b, h).Encode(v); err != nil {
		t.Fatalf("%T %+v: %v", v, v, err)
	}
	return b
}

var limits = msgpack.Limits{Bytes: 1 << 20, Values: 10000, Depth: 64}

// decode decodes b into a new t, with an account that holds as much as is used.
func decode(b []byte, t reflect.Type, form codec.Form, l msgpack.Limits) (reflect.Value, error) {
	p := reflect.New(t)
	_, err := codec.Decode(codec.Message{B: b, Form: form, Limits: l}, p.Interface(), 64<<20, anAccount(1<<30))
	return p, err
}

func anAccount(most int) *account.Holding {
	var a account.Decoded
	a.Init(most)
	h := a.Of("peer")
	return &h
}

// sorted returns b with the pairs of each map in the order of their bytes.
func sorted(b []byte) []byte {
	out, _ := sortedFirst(b)
	return out
}

func sortedFirst(b []byte) (out, rest []byte) {
	h, ok := msgpack.Parse(b)
	if !ok {
		return b, nil
	}
	n := uint64(h.Size) + h.Payload
	out, rest = bytes.Clone(b[:n]), b[n:]
	var parts [][]byte
	for range h.Children {
		var part []byte
		part, rest = sortedFirst(rest)
		parts = append(parts, part)
	}
	if h.Kind == msgpack.KindMap {
		var pairs [][]byte
		for i := 0; i < len(parts); i += 2 {
			pairs = append(pairs, slices.Concat(parts[i], parts[i+1]))
		}
		slices.SortFunc(pairs, bytes.Compare)
		parts = pairs
	}
	return append(out, slices.Concat(parts...)...), rest
}
