// Package codec turns Go values into bytes and bytes into Go values: msgpack in
// the form that go-libp2p-gorpc v0.6 writes and reads, and in today's form.
//
//	Append -> planOf(type) -> plan.enc, of each part   (encoder.go)
//	Decode -> planOf(type) -> plan.dec, of each part   (decoder.go)
//
// A plan is made once for a type: plan.go has the kinds of types, and the other
// plan files what they do. Decoding checks as it goes: depth, number of values,
// lengths, and the memory that the result takes. Only what a plan does not know
// goes through the codec library, which this package alone imports: fallback.go.
package codec

import (
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Form is how values are written.
type Form uint8

// Plain is v0.6's form, from before msgpack told strings from bytes. Modern is
// today's: strings, bytes and times tell what they are.
const (
	Plain Form = iota
	Modern
)

// MaxDepth is the deepest nesting of a value that is encoded or decoded, because
// plans recurse.
const MaxDepth = 1000

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// Append appends the encoding of v to b, a buffer of the pool, and returns the
// buffer that takes its place. A panic of v's own methods is an error.
func Append(b []byte, v any, form Form) (out []byte, err error) {
	if out, ok := appendRaw(b, v, form); ok {
		return out, nil
	}
	if v == nil {
		return append(b, msgpack.Nil), nil
	}
	defer func() {
		// A MarshalBinary of the user's may panic: the encoder is not used again.
		if r := recover(); r != nil {
			out, err = b, fmt.Errorf("cannot encode %T: %v", v, r)
		}
	}()
	start := len(b)
	p := planOf(reflect.TypeOf(v))
	b = account.GrowBuffer(b, int(p.size.Load()))
	e := encoders.Get().(*encoder)
	*e = encoder{form: form, left: maxEncoded, words: e.words[:0]}
	out = e.dynamic(b, v)
	err = e.err
	encoders.Put(e)
	if err != nil {
		if part, ok := err.(*PartError); ok && part.Of == reflect.TypeOf(v) {
			return b, err // which names the type
		}
		return b, fmt.Errorf("cannot encode %T: %w", v, err)
	}
	if n := int32(min(len(out)-start, maxSizeHint)); n != p.size.Load() {
		p.size.Store(n)
	}
	return out, nil
}

// maxSizeHint bounds the room that is made for a value because the last of its
// type was large.
const maxSizeHint = 1 << 20

// sizeHint is the length of the last encoding: how much room the next may need.
type sizeHint struct{ atomic.Int32 }

// Message is a received message, which is to be one value within the limits.
type Message struct {
	B      []byte
	Form   Form
	Limits msgpack.Limits
	Kept   bool // the receiver of the decoded value may keep B
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// Decode decodes m into the new variable that into points to. It refuses a message
// that takes more than most bytes of memory (ErrExpands), and takes the memory
// from the account h: size bytes, if they are more than account.Unaccounted. It
// keeps none of m.B, unless m.Kept. Other errors: *MisfitError, *PartError,
// *MalformedError, *account.DecodedError.
func Decode(m Message, into any, most uint64, h *account.Holding) (size uint64, err error) {
	if s, ok := onlyRaw(m.B, into); ok {
		if len(m.B) > m.Limits.Bytes {
			return 0, &MalformedError{&msgpack.LimitError{Limit: msgpack.LimitBytes, Max: m.Limits.Bytes}}
		}
		if err := h.TakeLarge(uint64(len(s))); err != nil {
			return 0, err
		}
		decodeRaw(s, into, m.Kept)
		return uint64(len(s)), nil
	}
	d := decoders.Get().(*decoder)
	d.init(m, most, h)
	defer func() {
		if r := recover(); r != nil {
			d.giveBack()
			err = fmt.Errorf("cannot decode into %T: %v", into, r)
		}
	}()
	v := reflect.ValueOf(into)
	p := planOf(v.Type().Elem())
	ok := d.add(uint64(p.typ.Size())+uint64(len(m.B))) && p.dec(d, v.UnsafePointer())
	if ok && d.pos != len(d.b) {
		d.malformed(fmt.Errorf("msgpack: %d bytes after the value", len(d.b)-d.pos))
		ok = false
	}
	if ok {
		ok = d.settle()
	}
	if !ok {
		err = d.failure(v.Type())
		d.giveBack()
	} else {
		size = d.used
	}
	d.release()
	decoders.Put(d)
	return size, err
}

// DecodeReply is Decode into a new value, which then replaces the caller's: it
// neither keeps nor overwrites memory of an earlier answer, because copies may
// share it. If m does not decode, the variable stays as it was.
func DecodeReply(m Message, into any, most uint64, h *account.Holding) error {
	reply := reflect.ValueOf(into).Elem()
	if reply.IsZero() { // nothing is there that could be kept
		_, err := Decode(m, into, most, h)
		if err != nil {
			reply.SetZero()
		}
		return err
	}
	p := reflect.New(reply.Type())
	if _, err := Decode(m, p.Interface(), most, h); err != nil {
		return err
	}
	reply.Set(p.Elem())
	return nil
}

// exact is the greatest integer up to which all are exact in a float64 and in what
// programs in other languages use for both.
const exact = 1 << 53

// isExact reports whether all integers up to n are exact in a float of so many
// bits.
func isExact(n uint64, bits int) bool {
	if bits == 32 {
		return n <= 1<<24
	}
	return n <= exact
}

// wholeFloat returns the integer that f is, if it is one that is exact.
func wholeFloat(f float64) (n int64, ok bool) {
	if f != math.Trunc(f) || math.Abs(f) > exact {
		return 0, false
	}
	return int64(f), true
}
