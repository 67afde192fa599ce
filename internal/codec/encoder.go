package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// encoder is the state of one Append. Its err is set once, and ends it.
type encoder struct {
	form  Form
	depth int // containers that are open
	hops  int // pointers and interfaces that are being followed
	left  int // values that may still come
	err   error

	// words are the values of the interfaces that are being followed, where the
	// interface holds a pointer itself: plans read them by their address.
	words []unsafe.Pointer
}

// encodeFunc appends the value that p points to.
type encodeFunc func(e *encoder, b []byte, p unsafe.Pointer) []byte

// maxEncoded is the most values that one message may hold: parts that are shared
// can multiply without end, though each is small. It is far beyond what
// Limits.MessageValues lets a receiver take.
const maxEncoded = 1 << 26

var (
	errNestsDeep = fmt.Errorf("it nests deeper than %d: is it cyclic?", MaxDepth)
	errHoldsMany = fmt.Errorf("it holds more than %d values, which is the most that one message may", maxEncoded)
)

// open accounts for a container of n parts; close must follow if it is true.
func (e *encoder) open(n int) bool {
	if n > 0 && e.depth >= MaxDepth {
		e.err = errNestsDeep
		return false
	}
	if e.left -= n; e.left < 0 {
		e.err = errHoldsMany
		return false
	}
	e.depth++
	return true
}

func (e *encoder) close() { e.depth-- }

// follow accounts for a pointer or an interface, which can lead to itself with no
// container between.
func (e *encoder) follow() bool {
	if e.hops >= 2*MaxDepth {
		e.err = errNestsDeep
		return false
	}
	e.hops++
	return true
}

// within adds to the path of the part that cannot travel.
func (e *encoder) within(part string) {
	if p, ok := e.err.(*PartError); ok {
		p.within(part)
	}
}

func (e *encoder) lost(why string) { e.err = &PartError{why: why} }

func appendInt(b []byte, n int64) []byte {
	switch {
	case n >= 0:
		switch {
		case n <= math.MaxInt8:
			return append(b, byte(n))
		case n <= math.MaxInt16:
			return append(b, 0xd1, byte(n>>8), byte(n))
		case n <= math.MaxInt32:
			return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
		}
	case n >= -32:
		return append(b, byte(n))
	case n >= math.MinInt8:
		return append(b, 0xd0, byte(n))
	case n >= math.MinInt16:
		return append(b, 0xd1, byte(n>>8), byte(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
}

func appendFloat32(b []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0xca), math.Float32bits(f))
}

func appendFloat64(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(f))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

func (f Form) appendString(b []byte, s string) []byte {
	if n := len(b); len(s) < 32 && cap(b)-n > len(s) {
		b = b[:n+1+len(s)]
		b[n] = 0xa0 | byte(len(s))
		copy(b[n+1:], s)
		return b
	}
	if f == Modern && len(s) >= 32 && len(s) <= math.MaxUint8 {
		return append(append(b, 0xd9, byte(len(s))), s...)
	}
	return append(msgpack.AppendStringHead(b, len(s)), s...)
}

// appendBytesHead appends what comes before the bytes of a byte slice.
func (f Form) appendBytesHead(b []byte, n int) []byte {
	if f == Plain {
		return msgpack.AppendStringHead(b, n)
	}
	return msgpack.AppendBytesHead(b, n)
}

func (f Form) appendBytes(b, data []byte) []byte {
	if data == nil {
		return append(b, msgpack.Nil)
	}
	return append(f.appendBytesHead(b, len(data)), data...)
}

// timeExt is the type of msgpack's extension for times.
const timeExt = 0xff

// appendTime appends t in UTC: the extension for times, or, in v0.6's form, what
// is in it.
func (f Form) appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, msgpack.Nil)
	}
	sec, nsec := t.Unix(), uint64(t.Nanosecond())
	if sec>>34 != 0 { // or negative
		if f == Modern {
			b = append(b, 0xc7, 12, timeExt)
		} else {
			b = append(b, 0xa0|12)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(nsec))
		return binary.BigEndian.AppendUint64(b, uint64(sec))
	}
	if all := nsec<<34 | uint64(sec); all>>32 != 0 {
		if f == Modern {
			b = append(b, 0xd7, timeExt)
		} else {
			b = append(b, 0xa0|8)
		}
		return binary.BigEndian.AppendUint64(b, all)
	}
	if f == Modern {
		b = append(b, 0xd6, timeExt)
	} else {
		b = append(b, 0xa0|4)
	}
	return binary.BigEndian.AppendUint32(b, uint32(sec))
}

// eface is how an interface without methods looks in memory.
type eface struct{ typ, data unsafe.Pointer }

// dynamic appends what an interface holds. The types that generic data consists of
// need no plan.
func (e *encoder) dynamic(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, msgpack.Nil)
	case string:
		return e.form.appendString(b, v)
	case bool:
		return appendBool(b, v)
	case int:
		return appendInt(b, int64(v))
	case int64:
		return appendInt(b, v)
	case uint64:
		return msgpack.AppendUint(b, v)
	case float64:
		return appendFloat64(b, v)
	case []byte:
		return e.form.appendBytes(b, v)
	case time.Time:
		return e.form.appendTime(b, v)
	case map[string]any:
		return encodeStringMap(e, b, v)
	case []any:
		return encodeAnys(e, b, v)
	}
	if !e.follow() {
		return b
	}
	p := planOf(reflect.TypeOf(v))
	data := (*eface)(unsafe.Pointer(&v)).data
	switch {
	case p.addressed: // a method may write to what it is called with
		c := reflect.New(p.typ)
		c.Elem().Set(reflect.ValueOf(v))
		data = c.UnsafePointer()
	case p.word:
		e.words = append(e.words, data) // that of v itself would make each v escape
		data = unsafe.Pointer(&e.words[len(e.words)-1])
	}
	b = p.enc(e, b, data)
	if p.word && !p.addressed {
		e.words[len(e.words)-1] = nil
		e.words = e.words[:len(e.words)-1]
	}
	e.hops--
	if part, ok := e.err.(*PartError); ok && part.Of == nil {
		part.Of = p.typ
	}
	return b
}
