package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	ugorji "github.com/ugorji/go/codec"
)

// The zero value of a type with a binary form of its own has to travel even
// where the type's UnmarshalBinary refuses what MarshalBinary made of it, as
// peer.ID's does for an empty ID. The codec calls UnmarshalBinary by itself; to
// stand between the two, such types are extensions of the decoders' handle. That
// is about reading only: what is written is what v0.6 writes.

// ownFormTag is that of every extension. The codec takes an extension of this
// tag in an interface{} for a time, never for one of these types.
const ownFormTag = 0xff

// ownForms are decoders that know the types of some own forms.
type ownForms struct {
	pool  sync.Pool
	types map[reflect.Type]struct{}
}

var (
	decoders       atomic.Pointer[ownForms] // what they are is replaced, never changed
	addingOwnForms sync.Mutex
)

func init() { decoders.Store(newOwnForms(nil)) }

func newOwnForms(types map[reflect.Type]struct{}) *ownForms {
	h := newHandle()
	for t := range types {
		if err := h.SetBytesExt(t, ownFormTag, newOwnForm(t)); err != nil {
			panic(err) // the handle is new, and the type has a name
		}
	}
	return &ownForms{types: types, pool: sync.Pool{New: func() any { return ugorji.NewDecoderBytes(nil, h) }}}
}

// decodeOwnForms makes the decoders know the own forms in t.
func decodeOwnForms(t reflect.Type) {
	found := make(map[reflect.Type]struct{})
	findOwnForms(t, found, make(map[reflect.Type]bool))
	if len(found) == 0 {
		return
	}
	addingOwnForms.Lock()
	defer addingOwnForms.Unlock()
	known := decoders.Load().types
	maps.Copy(found, known)
	if len(found) > len(known) {
		decoders.Store(newOwnForms(found))
	}
}

var typeTime = reflect.TypeFor[time.Time]()

// findOwnForms collects the types in t whose UnmarshalBinary the codec calls and
// that can be extensions, which a type without a name cannot.
func findOwnForms(t reflect.Type, found map[reflect.Type]struct{}, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	if t.Kind() != reflect.Pointer && Marshals(t) {
		p := reflect.PointerTo(t)
		if t != typeTime && t.PkgPath() != "" && t.Kind() != reflect.Interface && !IsSelfer(p) {
			found[t] = struct{}{}
		}
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		findOwnForms(t.Elem(), found, seen)
	case reflect.Map:
		findOwnForms(t.Key(), found, seen)
		findOwnForms(t.Elem(), found, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); isEncoded(f) {
				findOwnForms(f.Type, found, seen)
			}
		}
	}
}

// ownForm decodes values of one type.
type ownForm struct{ zero func() ([]byte, bool) }

func newOwnForm(t reflect.Type) ownForm {
	return ownForm{sync.OnceValues(func() (b []byte, ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		b, err := reflect.New(t).Interface().(encoding.BinaryMarshaler).MarshalBinary()
		return b, err == nil
	})}
}

// WriteExt is never called: encoders have a handle without extensions.
func (ownForm) WriteExt(any) []byte { panic("rpc: an extension is written") }

// ReadExt decodes b into what v points to. The codec recovers the panic.
func (f ownForm) ReadExt(v any, b []byte) {
	err := unmarshalOwn(v, b)
	if err == nil {
		return
	}
	if zero, ok := f.zero(); !ok || !bytes.Equal(b, zero) {
		panic(err)
	}
	reflect.ValueOf(v).Elem().SetZero()
}

func unmarshalOwn(v any, b []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("UnmarshalBinary panicked: %v", r)
		}
	}()
	return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
}
