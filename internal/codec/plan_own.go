package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// hasOwnForm reports whether values of t, no pointer or interface, are written as
// the bytes that their own MarshalBinary makes.
func hasOwnForm(t reflect.Type) bool {
	return Types.PointerImplements(t, travels.MarshalsBinary) && Types.PointerImplements(t, travels.UnmarshalsBinary)
}

// callsByAddress reports whether encoding a t calls methods of pointers to it, or to
// its parts.
func callsByAddress(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return false
	}
	if goesToLibrary(t) {
		return true
	}
	if t != typeTime && hasOwnForm(t) {
		return !Types.Implements(t, travels.MarshalsBinary)
	}
	switch t.Kind() {
	case reflect.Array:
		return callsByAddress(t.Elem())
	case reflect.Struct:
		if reflect.PointerTo(t).Implements(missingFielder) {
			return true
		}
		for i := range t.NumField() {
			if callsByAddress(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// ownForm makes the plan of a type with a binary form of its own.
func (p *plan) ownForm() {
	t := p.typ
	guards := guardsOf(t)
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		for i := range guards {
			if g := &guards[i]; !g.holds(at) {
				e.lost(g.why)
				e.within(g.name)
				return b
			}
		}
		data, err := reflect.NewAt(t, at).Interface().(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			e.err = err
			return b
		}
		return e.form.appendBytes(b, data)
	}
	zero := sync.OnceValues(func() (b []byte, ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		b, err := reflect.New(t).Interface().(encoding.BinaryMarshaler).MarshalBinary()
		return b, err == nil
	})
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		v := reflect.NewAt(t, at)
		if d.isNil() {
			v.Elem().SetZero()
			return true
		}
		data, ok := d.str("the binary form of " + t.String())
		if !ok || !d.add(headOnly) {
			return false
		}
		err := unmarshalOwn(v.Interface(), data)
		if err == nil {
			return true
		}
		// The zero value of a type has to travel even where its UnmarshalBinary refuses
		// what MarshalBinary made of it, as peer.ID's does for an empty ID.
		if form, ok := zero(); !ok || !bytes.Equal(data, form) {
			d.err = &MisfitError{cause: err}
			return false
		}
		v.Elem().SetZero()
		return true
	}
}

func unmarshalOwn(v any, b []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("UnmarshalBinary panicked: %v", r)
		}
	}()
	return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
}
