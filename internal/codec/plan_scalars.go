package codec

import (
	"encoding/binary"
	"math"
	"math/bits"
	"reflect"
	"strconv"
	"time"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// scalar is the plan of a kind whose values have no parts.
type scalar struct {
	enc encodeFunc
	dec decodeFunc
}

var scalars = [...]scalar{
	reflect.Bool:          {encodeBool, decodeBool},
	reflect.Int:           signed[int](bits.UintSize, "an int"),
	reflect.Int8:          signed[int8](8, "an int8"),
	reflect.Int16:         signed[int16](16, "an int16"),
	reflect.Int32:         signed[int32](32, "an int32"),
	reflect.Int64:         signed[int64](64, "an int64"),
	reflect.Uint:          unsigned[uint](bits.UintSize, "a uint"),
	reflect.Uint8:         unsigned[uint8](8, "a uint8"),
	reflect.Uint16:        unsigned[uint16](16, "a uint16"),
	reflect.Uint32:        unsigned[uint32](32, "a uint32"),
	reflect.Uint64:        unsigned[uint64](64, "a uint64"),
	reflect.Uintptr:       unsigned[uintptr](bits.UintSize, "a uintptr"),
	reflect.Float32:       {encodeFloat32, decodeFloat32},
	reflect.Float64:       {encodeFloat64, decodeFloat64},
	reflect.Complex64:     {encodeComplex64, decodeComplex64},
	reflect.Complex128:    {encodeComplex128, decodeComplex128},
	reflect.String:        {encodeString, decodeString},
	reflect.UnsafePointer: {},
}

func encodeBool(_ *encoder, b []byte, p unsafe.Pointer) []byte { return appendBool(b, *(*bool)(p)) }

func decodeBool(d *decoder, p unsafe.Pointer) bool {
	if d.pos < len(d.b) {
		switch d.b[d.pos] {
		case 0xc2, msgpack.Nil:
			*(*bool)(p) = false
			d.pos++
			return true
		case 0xc3:
			*(*bool)(p) = true
			d.pos++
			return true
		}
	}
	return d.wrongKind("a bool")
}

func signed[T int | int8 | int16 | int32 | int64](size int, name string) scalar {
	return scalar{
		func(_ *encoder, b []byte, p unsafe.Pointer) []byte { return appendInt(b, int64(*(*T)(p))) },
		func(d *decoder, p unsafe.Pointer) bool {
			if d.pos < len(d.b) {
				if c := int8(d.b[d.pos]); c >= -32 { // most are small
					d.pos++
					*(*T)(p) = T(c)
					return true
				}
			}
			n, ok := d.int64(size, name)
			if ok {
				*(*T)(p) = T(n)
			}
			return ok
		},
	}
}

func unsigned[T uint | uint8 | uint16 | uint32 | uint64 | uintptr](size int, name string) scalar {
	return scalar{
		func(_ *encoder, b []byte, p unsafe.Pointer) []byte { return msgpack.AppendUint(b, uint64(*(*T)(p))) },
		func(d *decoder, p unsafe.Pointer) bool {
			n, ok := d.uint64(size, name)
			if ok {
				*(*T)(p) = T(n)
			}
			return ok
		},
	}
}

// number reads an integer, or a float that is one. Its bits are those of an int64
// if it is negative, and those of a uint64 if not.
func (d *decoder) number(wanted string) (n uint64, negative, ok bool) {
	start := d.pos
	h, ok := d.head()
	if !ok {
		return 0, false, false
	}
	switch h.Kind {
	case msgpack.KindNil:
		return 0, false, true
	case msgpack.KindInt:
		return h.Num, h.Negative, true
	case msgpack.KindFloat:
		f := floatOf(h)
		n, whole := wholeFloat(f)
		if !whole {
			return 0, false, d.misfit("%v does not fit %s", f, wanted)
		}
		return uint64(n), n < 0, true
	}
	d.pos = start
	return 0, false, d.wrongKind(wanted)
}

// int64 reads an integer that fits so many bits with a sign.
func (d *decoder) int64(size int, name string) (int64, bool) {
	n, negative, ok := d.number(name)
	if !ok {
		return 0, false
	}
	if i := int64(n); (i < 0) == negative && i>>(size-1) == i>>63 {
		return i, true
	}
	return 0, d.doesNotFit(n, negative, name)
}

// uint64 reads an integer that fits so many bits without a sign.
func (d *decoder) uint64(size int, name string) (uint64, bool) {
	if d.pos < len(d.b) && d.b[d.pos] < 0x80 { // most are small
		d.pos++
		return uint64(d.b[d.pos-1]), true
	}
	n, negative, ok := d.number(name)
	if !ok {
		return 0, false
	}
	if negative || size < 64 && n>>size != 0 {
		return 0, d.doesNotFit(n, negative, name)
	}
	return n, true
}

func (d *decoder) doesNotFit(n uint64, negative bool, what string) bool {
	if negative {
		return d.misfit("%d does not fit %s", int64(n), what)
	}
	return d.misfit("%d does not fit %s", n, what)
}

func floatOf(h msgpack.Head) float64 {
	if h.Size == 5 {
		return float64(math.Float32frombits(uint32(h.Num)))
	}
	return math.Float64frombits(h.Num)
}

// float reads a float, or an integer that is exact as one of so many bits.
func (d *decoder) float(size int) (float64, bool) {
	start := d.pos
	h, ok := d.head()
	if !ok {
		return 0, false
	}
	switch h.Kind {
	case msgpack.KindNil:
		return 0, true
	case msgpack.KindFloat:
		f := floatOf(h)
		if size == 32 && math.Abs(f) > math.MaxFloat32 && !math.IsInf(f, 0) {
			return 0, d.misfit("%v does not fit a float32", f)
		}
		return f, true
	case msgpack.KindInt:
		n := h.Num
		if h.Negative {
			n = -n
		}
		if !isExact(n, size) {
			return 0, d.doesNotFit(h.Num, h.Negative, "a float"+strconv.Itoa(size)+" exactly")
		}
		return float64(int64(h.Num)), true
	}
	d.pos = start
	return 0, d.wrongKind("a float" + strconv.Itoa(size))
}

func encodeFloat32(_ *encoder, b []byte, p unsafe.Pointer) []byte {
	return appendFloat32(b, *(*float32)(p))
}

func decodeFloat32(d *decoder, p unsafe.Pointer) bool {
	f, ok := d.float(32)
	if ok {
		*(*float32)(p) = float32(f)
	}
	return ok
}

func encodeFloat64(_ *encoder, b []byte, p unsafe.Pointer) []byte {
	return appendFloat64(b, *(*float64)(p))
}

func decodeFloat64(d *decoder, p unsafe.Pointer) bool {
	if rest := d.b[d.pos:]; len(rest) >= 9 && rest[0] == 0xcb {
		*(*uint64)(p) = binary.BigEndian.Uint64(rest[1:])
		d.pos += 9
		return true
	}
	f, ok := d.float(64)
	if ok {
		*(*float64)(p) = f
	}
	return ok
}

// Complex numbers travel as v0.6 writes them: the real part.

const imaginary = "a complex number with an imaginary part; only the real part has a form"

func encodeComplex64(e *encoder, b []byte, p unsafe.Pointer) []byte {
	c := *(*complex64)(p)
	if imag(c) != 0 {
		e.lost(imaginary)
	}
	return appendFloat32(b, real(c))
}

func decodeComplex64(d *decoder, p unsafe.Pointer) bool {
	f, ok := d.float(32)
	if ok {
		*(*complex64)(p) = complex(float32(f), 0)
	}
	return ok
}

func encodeComplex128(e *encoder, b []byte, p unsafe.Pointer) []byte {
	c := *(*complex128)(p)
	if imag(c) != 0 {
		e.lost(imaginary)
	}
	return appendFloat64(b, real(c))
}

func decodeComplex128(d *decoder, p unsafe.Pointer) bool {
	f, ok := d.float(64)
	if ok {
		*(*complex128)(p) = complex(f, 0)
	}
	return ok
}

func encodeString(e *encoder, b []byte, p unsafe.Pointer) []byte {
	return e.form.appendString(b, *(*string)(p))
}

func decodeString(d *decoder, p unsafe.Pointer) bool {
	if from := d.pos + 1; from <= len(d.b) { // most are short
		c := d.b[d.pos]
		if end := from + int(c&0x1f); c&0xe0 == 0xa0 && end <= len(d.b) && d.add(headOnly) {
			d.pos = end
			*(*string)(p) = d.text(d.b[from:end])
			return true
		}
	}
	if d.isNil() {
		*(*string)(p) = ""
		return true
	}
	s, ok := d.str("a string")
	if !ok || !d.add(headOnly) {
		return false
	}
	*(*string)(p) = d.text(s)
	return true
}

var typeTime = reflect.TypeFor[time.Time]()

func encodeTime(e *encoder, b []byte, p unsafe.Pointer) []byte {
	return e.form.appendTime(b, *(*time.Time)(p))
}

func decodeTime(d *decoder, p unsafe.Pointer) bool {
	if d.isNil() {
		*(*time.Time)(p) = time.Time{}
		return true
	}
	start := d.pos
	if rest := d.b[start:]; len(rest) >= 10 && rest[0] == 0xd7 && rest[1] == timeExt { // most have this form
		*(*time.Time)(p), _ = timeOf(rest[2:10])
		d.pos += 10
		return true
	}
	h, ok := d.head()
	if !ok {
		return false
	}
	data := d.b[d.pos : d.pos+int(h.Payload)]
	switch {
	case h.Kind == msgpack.KindExt && data[0] == timeExt:
		data = data[1:]
	case h.Kind != msgpack.KindString:
		d.pos = start
		return d.wrongKind("a time.Time")
	}
	t, ok := timeOf(data)
	if !ok {
		return d.misfit("%d bytes where a time.Time of 4, 8 or 12 is expected", len(data))
	}
	d.pos += int(h.Payload)
	*(*time.Time)(p) = t
	return true
}

// timeOf returns the time that the extension's payload says.
func timeOf(b []byte) (time.Time, bool) {
	switch len(b) {
	case 4:
		return time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC(), true
	case 8:
		all := binary.BigEndian.Uint64(b)
		return time.Unix(int64(all&(1<<34-1)), int64(all>>34)).UTC(), true
	case 12:
		return time.Unix(int64(binary.BigEndian.Uint64(b[4:])), int64(binary.BigEndian.Uint32(b))).UTC(), true
	}
	return time.Time{}, false
}

// encodeBytes and decodeBytes are the plan of []byte, and of slices that are that
// but for their name.
func encodeBytes(e *encoder, b []byte, p unsafe.Pointer) []byte {
	return e.form.appendBytes(b, *(*[]byte)(p))
}

func decodeBytes(d *decoder, p unsafe.Pointer) bool {
	if d.isNil() {
		*(*[]byte)(p) = nil
		return true
	}
	s, ok := d.str("bytes")
	if !ok || !d.add(headOnly) {
		return false
	}
	*(*[]byte)(p) = own(s)
	return true
}

// own returns a copy, never nil, in memory that Go need not zero before.
func own(s []byte) []byte {
	b := make([]byte, len(s))
	copy(b, s)
	return b
}
