package codec

import (
	"bytes"
	"reflect"
	"strconv"
	"unsafe"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

var (
	typeByte   = reflect.TypeFor[byte]()
	mapBySlice = reflect.TypeFor[ugorji.MapBySlice]()
)

// isMapBySlice reports whether lists of a type are written as maps: key and element
// in turn.
func isMapBySlice(t reflect.Type) bool {
	return t.Implements(mapBySlice) || reflect.PointerTo(t).Implements(mapBySlice)
}

// slice makes the plan of a type of slices.
func (pl planner) slice(p *plan) {
	t, elem := p.typ, p.typ.Elem()
	pairs := isMapBySlice(t)
	switch {
	case elem == typeByte && !pairs:
		p.enc, p.dec = encodeBytes, decodeBytes
		return
	case t == reflect.TypeFor[[]string]():
		p.enc, p.dec = encodeStrings, decodeStrings
		return
	case t == reflect.TypeFor[[]int64]():
		p.enc, p.dec = encodeInt64s, decodeList[int64]
		return
	case t == reflect.TypeFor[[]float64]():
		p.enc, p.dec = encodeFloat64s, decodeList[float64]
		return
	case t == reflect.TypeFor[[]any]():
		p.enc, p.dec = func(e *encoder, b []byte, at unsafe.Pointer) []byte { return encodeAnys(e, b, *(*[]any)(at)) }, decodeAnys
		return
	}
	of, size, ptr := pl.plan(elem), elem.Size(), pointersTo(t)
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		s := (*sliceHead)(at)
		if s.data == nil {
			return append(b, msgpack.Nil)
		}
		return encodeElements(e, b, of, s.data, s.len, pairs)
	}
	bytesToo := elem.Kind() == reflect.Uint8
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		if d.isNil() {
			*(*sliceHead)(at) = sliceHead{}
			return true
		}
		if bytesToo && d.holdsString() {
			return decodeBytes(d, at)
		}
		n, ok := d.list(pairs)
		if !ok || !d.add(elements(n, size)) {
			return false
		}
		v := ptr.value(at).Elem()
		if n == 0 {
			v.Set(reflect.MakeSlice(t, 0, 0))
		} else {
			if (*sliceHead)(at).data != nil {
				v.SetZero() // what there is may be shared
			}
			v.Grow(n)
			v.SetLen(n)
		}
		return decodeElements(d, of, (*sliceHead)(at).data, n)
	}
}

// sliceHead is how a slice looks in memory.
type sliceHead struct {
	data     unsafe.Pointer
	len, cap int
}

// array makes the plan of a type of arrays.
func (pl planner) array(p *plan) {
	t, elem, n := p.typ, p.typ.Elem(), p.typ.Len()
	of, pairs := pl.plan(elem), isMapBySlice(t)
	isBytes := elem == typeByte && !pairs
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		if isBytes {
			return append(e.form.appendBytesHead(b, n), unsafe.Slice((*byte)(at), n)...)
		}
		return encodeElements(e, b, of, at, n, pairs)
	}
	bytesToo := elem.Kind() == reflect.Uint8
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		if d.isNil() {
			reflect.NewAt(t, at).Elem().SetZero()
			return true
		}
		if isBytes || bytesToo && d.holdsString() {
			s, ok := d.str("bytes")
			if ok && len(s) != n {
				return d.misfit("%d bytes where %d are expected", len(s), n)
			}
			copy(unsafe.Slice((*byte)(at), n), s)
			return ok
		}
		got, ok := d.list(pairs)
		if ok && got != n {
			return d.misfit("%d elements where %d are expected", got, n)
		}
		return ok && decodeElements(d, of, at, n)
	}
}

// holdsString reports whether the next value is a string or bytes.
func (d *decoder) holdsString() bool {
	h, ok := msgpack.Parse(d.b[d.pos:])
	return ok && h.Kind == msgpack.KindString
}

// list reads the head of an array, or of a map whose pairs are the elements.
func (d *decoder) list(pairs bool) (n int, ok bool) {
	if pairs {
		if h, ok := msgpack.Parse(d.b[d.pos:]); ok && h.Kind == msgpack.KindMap {
			n, ok := d.container(msgpack.KindMap, "a map")
			return 2 * n, ok
		}
	}
	return d.container(msgpack.KindArray, "an array")
}

func encodeElements(e *encoder, b []byte, of *plan, data unsafe.Pointer, n int, pairs bool) []byte {
	if !e.open(n) {
		return b
	}
	switch {
	case !pairs:
		b = msgpack.AppendArray(b, n)
	case n%2 != 0:
		e.lost("a list of " + strconv.Itoa(n) + " that is written as a map of keys and elements: one is missing")
		return b
	default:
		b = msgpack.AppendMap(b, n/2)
	}
	size := of.typ.Size()
	for i := range n {
		if b = of.enc(e, b, unsafe.Add(data, uintptr(i)*size)); e.err != nil {
			e.within("[" + strconv.Itoa(i) + "]")
			return b
		}
	}
	e.close()
	return b
}

// decodeElements decodes n elements, and closes their container.
func decodeElements(d *decoder, of *plan, data unsafe.Pointer, n int) bool {
	size := of.typ.Size()
	for i := range n {
		if !of.dec(d, unsafe.Add(data, uintptr(i)*size)) {
			return d.within("[" + strconv.Itoa(i) + "]")
		}
	}
	d.close()
	return true
}

func encodeStrings(e *encoder, b []byte, p unsafe.Pointer) []byte {
	s := *(*[]string)(p)
	if s == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(s)) {
		return b
	}
	b = msgpack.AppendArray(b, len(s))
	for i := range s {
		b = e.form.appendString(b, s[i])
	}
	e.close()
	return b
}

func decodeStrings(d *decoder, p unsafe.Pointer) bool {
	to := (*[]string)(p)
	n, null, ok := makeList(d, to)
	if !ok || null {
		return ok
	}
	s := *to
	for i := range n {
		if !decodeString(d, unsafe.Pointer(&s[i])) {
			return d.within("[" + strconv.Itoa(i) + "]")
		}
	}
	d.close()
	return true
}

func encodeInt64s(e *encoder, b []byte, p unsafe.Pointer) []byte {
	s := *(*[]int64)(p)
	if s == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(s)) {
		return b
	}
	b = msgpack.AppendArray(b, len(s))
	for _, n := range s {
		b = appendInt(b, n)
	}
	e.close()
	return b
}

func encodeFloat64s(e *encoder, b []byte, p unsafe.Pointer) []byte {
	s := *(*[]float64)(p)
	if s == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(s)) {
		return b
	}
	b = msgpack.AppendArray(b, len(s))
	for _, f := range s {
		b = appendFloat64(b, f)
	}
	e.close()
	return b
}

// makeList reads the head of an array and makes a slice for its elements.
func makeList[T any](d *decoder, to *[]T) (n int, null, ok bool) {
	if d.isNil() {
		*to = nil
		return 0, true, true
	}
	n, ok = d.container(msgpack.KindArray, "an array")
	if !ok || !d.add(elements(n, unsafe.Sizeof(*new(T)))) {
		return 0, false, false
	}
	*to = make([]T, n)
	return n, false, true
}

// decodeList is the plan of slices of numbers.
func decodeList[T int64 | float64](d *decoder, p unsafe.Pointer) bool {
	to := (*[]T)(p)
	n, null, ok := makeList(d, to)
	if !ok || null {
		return ok
	}
	dec := scalars[reflect.TypeFor[T]().Kind()].dec
	s := *to
	for i := range n {
		if !dec(d, unsafe.Pointer(&s[i])) {
			return d.within("[" + strconv.Itoa(i) + "]")
		}
	}
	d.close()
	return true
}

func encodeAnys(e *encoder, b []byte, s []any) []byte {
	if s == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(s)) {
		return b
	}
	b = msgpack.AppendArray(b, len(s))
	for i := range s {
		if b = e.dynamic(b, s[i]); e.err != nil {
			e.within("[" + strconv.Itoa(i) + "]")
			return b
		}
	}
	e.close()
	return b
}

func decodeAnys(d *decoder, p unsafe.Pointer) bool {
	to := (*[]any)(p)
	n, null, ok := makeList(d, to)
	if !ok || null {
		return ok
	}
	return d.anys(*to, n)
}

// anys decodes n elements, and closes their container.
func (d *decoder) anys(s []any, n int) (ok bool) {
	for i := range n {
		if s[i], ok = d.any(); !ok {
			return d.within("[" + strconv.Itoa(i) + "]")
		}
	}
	d.close()
	return true
}

// zeroBytes reports whether all of the memory is zero.
func zeroBytes(p unsafe.Pointer, size uintptr) bool {
	const chunk = 64
	var zero [chunk]byte
	b := unsafe.Slice((*byte)(p), size)
	for len(b) > chunk {
		if !bytes.Equal(b[:chunk], zero[:]) {
			return false
		}
		b = b[chunk:]
	}
	return bytes.Equal(b, zero[:len(b)])
}
