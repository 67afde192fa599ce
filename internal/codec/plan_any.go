package codec

import (
	"bytes"
	"math"
	"reflect"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// any decodes the next value into an interface. In v0.6's form strings and bytes
// are bytes, maps are map[any]any, and an integer has the sign of its form. In
// today's form strings are strings, maps with strings as keys are map[string]any,
// and integers are int64, or uint64 beyond that.
func (d *decoder) any() (v any, ok bool) {
	start := d.pos
	h, ok := d.head()
	if !ok {
		return nil, false
	}
	if h.Kind > msgpack.KindBool && !d.add(held) {
		return nil, false
	}
	switch h.Kind {
	case msgpack.KindNil:
		return nil, true
	case msgpack.KindBool:
		return h.Num == 1, true
	case msgpack.KindInt:
		return d.anyInt(h, d.b[start]), true
	case msgpack.KindFloat:
		return floatOf(h), true
	case msgpack.KindString:
		s := d.b[d.pos : d.pos+int(h.Payload)]
		d.pos += int(h.Payload)
		if c := d.b[start]; d.modern && (c < 0xc4 || c > 0xc6) {
			return d.text(s), true
		}
		return own(s), true
	case msgpack.KindArray:
		return d.anyArray(h)
	case msgpack.KindMap:
		return d.anyMap(h)
	default:
		return d.anyExt(h)
	}
}

func (d *decoder) anyInt(h msgpack.Head, form byte) any {
	isUnsigned := form >= 0xcc && form <= 0xcf
	if isUnsigned && (!d.modern || h.Num > math.MaxInt64) {
		return h.Num
	}
	return int64(h.Num)
}

func (d *decoder) anyArray(h msgpack.Head) (any, bool) {
	n := int(h.Children)
	if !d.open(h.Children) || !d.add(elements(n, anyType.Size())) {
		return nil, false
	}
	s := make([]any, n)
	return s, d.anys(s, n)
}

func (d *decoder) anyMap(h msgpack.Head) (any, bool) {
	n := int(h.Children / 2)
	if !d.open(h.Children) || !d.add(mapOf(n, anyType.Size(), anyType.Size())) {
		return nil, false
	}
	if !d.modern {
		m := make(map[any]any, n)
		return m, d.anyPairs(m, n)
	}
	m := make(map[string]any, n)
	for left := n; left > 0; left-- {
		if !d.holdsString() {
			if !d.add(mapOf(n, anyType.Size(), anyType.Size())) {
				return nil, false
			}
			all := make(map[any]any, n)
			for k, v := range m {
				all[k] = v
			}
			return all, d.anyPairs(all, left)
		}
		k, ok := d.str("a string")
		if !ok || !d.add(headOnly) {
			return nil, false
		}
		v, ok := d.any()
		if !ok {
			return nil, d.within(string(k))
		}
		m[d.text(k)] = v
	}
	d.close()
	return m, true
}

// anyPairs decodes n pairs into m, and closes their container.
func (d *decoder) anyPairs(m map[any]any, n int) bool {
	for range n {
		k, ok := d.any()
		if !ok {
			return d.within("[key]")
		}
		if b, ok := k.([]byte); ok {
			k = string(b)
		}
		if k != nil && !reflect.TypeOf(k).Comparable() {
			d.misfit("a %T cannot be the key of a map", k)
			return d.within("[key]")
		}
		v, ok := d.any()
		if !ok {
			return d.within("[]")
		}
		m[k] = v
	}
	d.close()
	return true
}

// anyExt decodes an extension: a time, or one that nobody here knows.
func (d *decoder) anyExt(h msgpack.Head) (any, bool) {
	data := d.b[d.pos : d.pos+int(h.Payload)]
	d.pos += int(h.Payload)
	if data[0] != timeExt {
		return ugorji.RawExt{Tag: uint64(data[0]), Data: bytes.Clone(data[1:])}, true
	}
	t, ok := timeOf(data[1:])
	if !ok {
		return nil, d.misfit("%d bytes where a time of 4, 8 or 12 is expected", len(data)-1)
	}
	return t, true
}
