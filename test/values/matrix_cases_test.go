package values_test

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/ugorji/go/codec"
)

// Types of which values would lose something.
type (
	money      struct{ cents int }
	halfForm   struct{ n int }
	jsonOnly   struct{ n int }
	gobOnly    struct{ n int }
	besideTime struct {
		time.Time
		Note string
	}
	byPointer struct {
		*hiddenBase
		Own string
	}
	hiddenBase struct{ X int }
	leftSide   struct{ Same int }
	rightSide  struct{ Same int }
	bothSides  struct {
		leftSide
		rightSide
	}
	embedsMoney struct {
		money
		Own string
	}
	twoForms struct {
		time.Time
		binaryOnly //lint:ignore U1000 that it is there is what counts
		Own        string
	}
)

func (h halfForm) MarshalBinary() ([]byte, error) { return []byte{byte(h.n)}, nil }
func (j jsonOnly) MarshalJSON() ([]byte, error)   { return []byte("1"), nil }
func (g gobOnly) GobEncode() ([]byte, error)      { return []byte{1}, nil }

// Types that are sent and taken.
type (
	version1 struct{ A int }
	version2 struct {
		A int
		B string
	}
	inOrder struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		A       int
		B       string
	}
	lists struct {
		_struct bool           `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		Some    []int          `codec:",omitempty"`
		Few     map[string]int `codec:",omitempty"`
	}
	location struct{ *url.URL }
	deeper   struct{ *location }
)

func matrix() []matrixCase {
	id, err := peer.Decode("12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf")
	if err != nil {
		panic(err)
	}
	c := cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	n := 7
	at := time.Date(2024, 2, 29, 12, 34, 56, 789, time.UTC)
	one := big.NewInt(1)
	count := new(atomic.Int64)
	count.Store(1)
	all := []matrixCase{
		keeps("a value", true), keeps("a value", int8(math.MinInt8)), keeps("a value", uint64(math.MaxUint64)), keeps("a value", 1.5), keeps("a value", "text"),
		keeps("a value", []byte{0, 255}), keeps("a value", []byte{}), keeps("a value", []int(nil)), keeps("a value", []int{}), keeps("a value", map[string]int(nil)),
		keeps("a value", map[string]int{}), keeps("a value", map[int][]string{1: {"a"}}), keeps("a value", [3]int{1, 2, 3}), keeps("a value", [2]byte{1, 2}),
		keeps("a value", version2{1, "b"}), keeps("a value", id), keeps("a value", peer.ID("")), keeps("a value", c), keeps("a value", cid.Undef),
		keeps("a value", time.Hour), keeps("a value", binaryOnly{1, 2}), keeps("a value", inOrder{A: 1, B: "b"}), keeps("a value", complex(1, 0)),
		keeps("a value", location{}), keeps("a value", location{&url.URL{Scheme: "https", Host: "example.org"}}), keeps("a value", lists{}),
		keeps("a value", deeper{}), keeps("a value", deeper{&location{&url.URL{Path: "/a"}}}),
		keeps("a time", at), keeps("a time", time.Time{}), keeps("a time", time.Unix(-1, 5).UTC()), keeps("a time", at.In(time.FixedZone("x", 3600))),
		fits("a string or bytes", "text", []byte("text")), fits("a string or bytes", []byte("text"), "text"), fits("a string or bytes", named("x"), "x"),
		fits("a string or bytes", "abcd", [4]byte{'a', 'b', 'c', 'd'}),
		fits("an integer that fits", 127, int8(127)), fits("an integer that fits", uint8(200), 200), fits("an integer that fits", int64(math.MaxInt64), uint64(math.MaxInt64)),
		misfits[int, int8]("an integer that does not fit", 300, "300 does not fit an int8"), misfits[int, uint8]("an integer that does not fit", -1, "-1 does not fit a uint8"),
		misfits[int, uint64]("an integer that does not fit", -200, "-200 does not fit a uint64"),
		misfits[uint64, int64]("an integer that does not fit", math.MaxUint64, "18446744073709551615 does not fit an int64"),
		fits("an integer up to 2^53", int64(1<<53), float64(1<<53)), fits("an integer up to 2^53", -3, float32(-3)),
		misfits[int64, float64]("a greater integer", 1<<53+1, "9007199254740993 does not fit a float64"), misfits[int, float32]("a greater integer", 1<<24+1, "float32"),
		fits("a whole float up to 2^53", float64(1<<53), int64(1<<53)), fits("a whole float up to 2^53", float32(-3), -3),
		misfits[float64, int]("another float", 0.5, "0.5 does not fit an int"), misfits[float64, int64]("another float", 1<<54, "does not fit an int64"),
		misfits[float64, uint]("another float", -1, "-1 does not fit a uint"), misfits[float64, int]("another float", math.Inf(1), "+Inf does not fit"),
		fits("a float64", 0.1, float32(0.1)), misfits[float64, float32]("a float64 over the greatest float32", 1e300, "does not fit a float32"),
		misfits[int, bool]("a number", 1, "where a bool is expected"), misfits[bool, int]("a bool", true, "where an int is expected"),
		misfits[int, string]("a number", 1, "where a string is expected"), misfits[string, int]("a string", "1", "where an int is expected"),
		fits("an array or slice", [2]int{1, 2}, []int{1, 2}), fits("an array or slice", []int{1, 2}, []int64{1, 2}), fits("an array or slice of as many", []int{1, 2}, [2]int{1, 2}),
		misfits[[4]int, [3]int]("an array or slice of another length", [4]int{1, 2, 3, 4}, "4 elements where 3 are expected"),
		misfits[[]int, [3]int]("an array or slice of another length", []int{1}, "1 elements where 3 are expected"),
		misfits[string, [3]byte]("an array or slice of another length", "ab", "2 bytes where 3 are expected"),
		misfits[[]int, []byte]("a list of integers", []int{1, 2}, "where bytes is expected"), misfits[[]byte, []int]("bytes", []byte{1, 2}, "where an array is expected"),
		misfits[map[int]int, []int]("a map", map[int]int{1: 2}, "where an array is expected"), misfits[[]int, map[int]int]("a list", []int{1, 2}, "where a map is expected"),
		fits("a struct, or a map by strings", version1{1}, version2{A: 1}), fits("a struct, or a map by strings", version2{1, "b"}, version1{1}),
		fits("a struct, or a map by strings", map[string]int{"A": 1, "Z": 2}, version1{1}), fits("a struct, or a map by strings", version1{1}, map[string]int{"A": 1}),
		fits("a struct that is tagged `toarray`", inOrder{A: 1, B: "b"}, version2{1, "b"}), fits("a struct that is tagged `toarray`", inOrder{A: 1, B: "b"}, version1{1}),
		fits("a pointer", &n, 7), fits("a pointer", n, &n), fits("a pointer", &version1{1}, new(&version2{A: 1})),

		inAny("nil", nil, nil, nil), inAny("a bool in it", true, true, true), inAny("a signed integer", int8(-5), int64(-5), int64(-5)),
		inAny("a signed integer", 300, int64(300), int64(300)), inAny("an unsigned integer", uint8(5), int64(5), int64(5)),
		inAny("an unsigned integer", uint16(300), int64(300), uint64(300)), inAny("an unsigned integer", uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64)),
		inAny("a float", float32(0.5), 0.5, 0.5), inAny("a string", "text", "text", []byte("text")), inAny("a string", named("x"), "x", []byte("x")),
		inAny("a byte slice or array", []byte("b"), []byte("b"), []byte("b")), inAny("a byte slice or array", [1]byte{7}, []byte{7}, []byte{7}),
		inAny("a time in it", at, at, []byte("\x00\x00\x0c\x54\x65\xe0\x79\xf0")), inAny("another slice or array", []int{1}, []any{int64(1)}, []any{int64(1)}),
		inAny("a map by strings", map[string]bool{"k": true}, map[string]any{"k": true}, map[any]any{"k": true}),
		inAny("a struct", version1{1}, map[string]any{"A": int64(1)}, map[any]any{"A": int64(1)}),
		inAny("another map", map[int]bool{1: true}, map[any]any{int64(1): true}, map[any]any{int64(1): true}),
		inAny("a type with a binary form", binaryOnly{1, 2}, []byte{1, 2}, []byte{1, 2}), inAny("a type with a binary form", id, []byte(id), []byte(id)),

		loses("a func or a channel", struct{ F func() }{func() {}}, "func()"), loses("a func or a channel", struct{ C chan int }{make(chan int)}, "chan int"),
		loses("an interface with methods", struct{ E error }{errors.New("x")}, "interface error"),
		loses("a struct without exported fields", money{5}, "no exported fields"), loses("a struct without exported fields", halfForm{5}, "without UnmarshalBinary"),
		loses("a struct without exported fields", jsonOnly{5}, "only a JSON form"), loses("a struct without exported fields", gobOnly{5}, "only a gob form"),
		loses("a struct without exported fields", *one, "only a text form"), loses("a struct without exported fields", bytes.NewBufferString("x"), "bytes.Buffer"),
		loses("a struct without exported fields", count, "atomic.Int64"), loses("a struct without exported fields", embedsMoney{money{5}, "x"}, "money is a values_test.money"),
		loses("fields beside an embedded type whose form is that of the whole", besideTime{at, "x"}, "Note is beside an embedded time.Time"),
		loses("an embedded type whose form is not used", twoForms{Time: at, Own: "x"}, "Time is an embedded time.Time"),
		loses("an embedded pointer to an unexported type", byPointer{&hiddenBase{5}, "x"}, "hiddenBase is an embedded pointer"),
		loses("the second of two fields of one name", bothSides{leftSide{1}, rightSide{2}}, "Same is of the same name"),
		loses("an extension with a tag over 255", codec.RawExt{Tag: 256, Data: []byte{1}}, "the tag 256"),
		loses("an imaginary part", complex(1, 2), "imaginary"),
	}
	return all
}
