package codec

import (
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// The codec library encodes and decodes what no plan can: types that write and
// read themselves with its encoder and decoder, and its own types. It gets one
// value, which was checked before, and a bound of the memory that it takes is in
// the account.
//
// The library is v1.3.2, v0.6's is v1.2.12. What was found in either is not met
// here: 1.3 encodes a reflect.Value as an empty map, its decoder of a reader wraps
// io.EOF and may keep all that it has read, that of 1.2 takes quadratic time for a
// long string, and both misread values that an interface holds as its word.

var (
	selfer  = reflect.TypeFor[ugorji.Selfer]()
	typeRaw = reflect.TypeFor[ugorji.Raw]()
	typeExt = reflect.TypeFor[ugorji.RawExt]()
)

// Types reads types for those who describe them.
var Types travels.Reader[reflect.Type] = types{travels.ForReflect(selfer)}

// goesToLibrary reports whether values of t, no pointer or interface, are left to
// the codec library.
func goesToLibrary(t reflect.Type) bool { return travels.GoesToLibrary(Types, t) }

// fallbacks counts the values that the codec library encoded or decoded.
var fallbacks atomic.Uint64

// Fallbacks is how many values the codec library has encoded and decoded because
// their types have no plan, in this process.
func Fallbacks() uint64 { return fallbacks.Load() }

// library encodes and decodes in one Form.
type library struct{ encoders, decoders sync.Pool }

type libraryEncoder struct {
	*ugorji.Encoder
	out []byte
}

var libraries = [2]*library{Plain: newLibrary(Plain), Modern: newLibrary(Modern)}

func newLibrary(form Form) *library {
	h := new(ugorji.MsgpackHandle)
	h.WriteExt = form == Modern
	h.MaxDepth = MaxDepth + 1
	h.MaxInitLen = 1 << 10
	h.CheckCircularRef = true // recursion without end is no error that can be recovered
	l := new(library)
	l.encoders.New = func() any {
		e := new(libraryEncoder)
		e.Encoder = ugorji.NewEncoderBytes(&e.out, h)
		return e
	}
	l.decoders.New = func() any { return ugorji.NewDecoderBytes(nil, h) }
	return l
}

// fallBack makes the plan of a type that goes to the library.
func (p *plan) fallBack() {
	t := p.typ
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		fallbacks.Add(1)
		if t == typeExt {
			if tag := (*ugorji.RawExt)(at).Tag; tag > math.MaxUint8 { // the library would cut it
				e.lost(fmt.Sprintf("an extension with the tag %d; msgpack has them up to %d", tag, math.MaxUint8))
				return b
			}
		}
		l := libraries[e.form&1]
		enc := l.encoders.Get().(*libraryEncoder)
		enc.out = account.NewBuffer(FirstEncoding)[:0]
		enc.ResetBytes(&enc.out)
		if err := enc.Encode(reflect.NewAt(t, at).Interface()); err != nil {
			e.err = err
			return b
		}
		b = append(b, enc.out...)
		enc.out = nil
		l.encoders.Put(enc)
		return b
	}
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		v := reflect.NewAt(t, at)
		if d.isNil() && t != typeRaw {
			v.Elem().SetZero()
			return true
		}
		start, values := d.pos, d.values
		if !d.skip() || !d.add(uint64(d.values-values+1)*mostOfOne) {
			return false
		}
		fallbacks.Add(1)
		l := libraries[formOf(d.modern)]
		dec := l.decoders.Get().(*ugorji.Decoder)
		dec.ResetBytes(d.b[start:d.pos:d.pos])
		if err := dec.Decode(v.Interface()); err != nil {
			d.err = &MisfitError{cause: unwrapped(err)}
			return false
		}
		dec.ResetBytes(nil)
		l.decoders.Put(dec)
		return true
	}
}

func formOf(modern bool) Form {
	if modern {
		return Modern
	}
	return Plain
}

// unwrapped is an error of the library without the position, which is of bytes that
// nobody sees.
func unwrapped(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok && u.Unwrap() != nil {
		return u.Unwrap()
	}
	return err
}

// mostOfOne is the most that one value takes beside its bytes, where what it is
// decoded into is not known: an element of a list, and a map of one.
var mostOfOne = elements(1, anyType.Size()) + mapOf(1, anyType.Size(), anyType.Size()) + held
