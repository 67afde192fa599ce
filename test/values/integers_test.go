package values_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestIntegerThatDoesNotFitIsAnError(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	c := rig.Client(t, a)
	for name, svc := range map[string]any{"Int8": echoing[int8]{}, "Uint64": echoing[uint64]{}, "Int64": echoing[int64]{}, "Float64": echoing[float64]{}} {
		if err := s.RegisterName(name, svc); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []struct {
		svc    string
		arg    any
		ok     bool
		reply  any
		typeIs string
	}{
		{"Int8", 127, true, new(int), ""},
		{"Int8", 128, false, new(int), "int8"},
		{"Int8", -129, false, new(int), "int8"},
		{"Uint64", uint64(math.MaxUint64), true, new(uint64), ""},
		{"Uint64", -1, false, new(uint64), "uint64"},
		{"Int64", uint64(math.MaxInt64), true, new(int64), ""},
		{"Int64", uint64(math.MaxInt64 + 1), false, new(int64), "int64"},
		{"Int8", uint64(math.MaxUint64), false, new(int8), "int8"}, // the codec makes it -1
		{"Float64", uint64(math.MaxUint64), false, new(float64), "float64"},
	} {
		err := c.CallContext(rig.Context(t), b.ID(), v.svc, "Echo", v.arg, v.reply)
		switch {
		case v.ok && (err != nil || fmt.Sprint(reflect.ValueOf(v.reply).Elem()) != fmt.Sprint(v.arg)):
			t.Errorf("%s of %v: got %v, %v", v.svc, v.arg, reflect.ValueOf(v.reply).Elem(), err)
		case !v.ok && rpc.CodeOf(err) != codes.InvalidArgument:
			t.Errorf("%s of %v: got %v, %v", v.svc, v.arg, reflect.ValueOf(v.reply).Elem(), err)
		case !v.ok:
			rig.CheckNames(t, err, v.svc+".Echo", v.typeIs)
		}
	}
	// A reply that does not fit is told by the client.
	for arg, reply := range map[uint64]any{300: new(int8), math.MaxUint64: new(int64)} {
		err := c.CallContext(rig.Context(t), b.ID(), "Uint64", "Echo", arg, reply)
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.InvalidArgument {
			t.Errorf("%d into a %T: got %v", arg, reply, err)
		} else {
			rig.CheckNames(t, err, "Uint64.Echo", reflect.TypeOf(reply).String())
		}
	}
}

// The same fields, with and without a sign.
type (
	signedBase    struct{ B int }
	unsignedBase  struct{ B uint64 }
	signedParts   parts[int64, signedBase]
	unsignedParts parts[uint64, unsignedBase]

	parts[N comparable, E any] struct {
		Base   E
		One    N
		Ptr    **N
		List   []N
		Lists  [][]N
		Array  [2]N
		Keys   map[N]string
		Elems  map[string]N
		Same   uint64 // in both
		Any    any
		Text   string
		Bytes  []byte
		Tagged N `codec:"t"`
		Hidden N `codec:"-"`
		Small  int8
	}
)

// asList is sent as an array, and taken as the fields in their order.
type (
	asList struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		A, B    uint64
	}
	fromList struct {
		Embedded
		U uint64
	}
)

func TestGreatIntegersWithinOthers(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	c := rig.Client(t, a)
	if err := s.RegisterName("Signed", echoing[signedParts]{}); err != nil {
		t.Fatal(err)
	}
	const great = uint64(math.MaxUint64)
	n := great
	p := &n
	call := func(v unsignedParts) (r signedParts, unary, streaming error) {
		unary = c.CallContext(rig.Context(t), b.ID(), "Signed", "Echo", v, &r)
		return r, unary, rig.StreamOnce[signedParts](t, rig.Setup{Client: c, Dest: b.ID()}, "Echoes", v, "Signed")
	}
	for name, v := range map[string]unsignedParts{
		"in a struct": {Base: unsignedBase{great}}, "in a field": {One: great}, "behind pointers": {Ptr: &p},
		"in a list": {List: []uint64{1, 2, great}}, "in lists": {Lists: [][]uint64{{1}, nil, {great}}}, "in an array": {Array: [2]uint64{1, great}},
		"as a key": {Keys: map[uint64]string{great: ""}}, "as an element": {Elems: map[string]uint64{"a": great}},
		"in a renamed field": {Tagged: great},
		"after much else":    {Text: strings.Repeat("\xcf\xff", 500), Same: great, Any: great, Tagged: great},
	} {
		r, unary, streaming := call(v)
		for _, err := range []error{unary, streaming} {
			if !rpc.IsServerError(err) || rpc.CodeOf(err) != codes.InvalidArgument {
				t.Errorf("%s: arrives as %+v, %v", name, r, err)
			} else {
				rig.CheckNames(t, err, "Signed.Echo", "signedParts")
			}
		}
	}
	// Where it fits, and where it only looks like one, it is none.
	v := unsignedParts{
		One: math.MaxInt64, Same: great, Any: great, Text: strings.Repeat("\xcf\xff", 500), Bytes: bytes.Repeat([]byte{0xcf, 0xff}, 500),
		Hidden: great, List: []uint64{math.MaxInt64}, Keys: map[uint64]string{1: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"},
	}
	r, unary, streaming := call(v)
	if unary != nil || streaming != nil || r.One != math.MaxInt64 || r.Same != great || r.Any != great || r.Text != v.Text || !bytes.Equal(r.Bytes, v.Bytes) {
		t.Errorf("got %+v, %v, %v", r, unary, streaming)
	}
	if err := s.RegisterName("Listed", echoing[fromList]{}); err != nil {
		t.Fatal(err)
	}
	var l fromList
	err := c.CallContext(rig.Context(t), b.ID(), "Listed", "Echo", asList{A: 1, B: great}, &l)
	if want := (fromList{Embedded{1}, great}); err != nil || l != want {
		t.Errorf("from a list: got %+v, %v", l, err)
	}
	err = c.CallContext(rig.Context(t), b.ID(), "Listed", "Echo", asList{A: great, B: 1}, &l)
	if rpc.CodeOf(err) != codes.InvalidArgument {
		t.Errorf("from a list: got %+v, %v", l, err)
	}
}
