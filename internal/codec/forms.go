package codec

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// form is a binary form of values that implement an interface, by a pointer to them.
type form struct {
	of       reflect.Type
	appendTo func(b []byte, v any) ([]byte, error)
	from     func(b []byte, v any) error
}

var (
	formsMu sync.Mutex
	forms   atomic.Pointer[[]form] // registered ones, the last of which counts
)

// RegisterForm gives the types that implement an interface a binary form.
func RegisterForm(of reflect.Type, appendTo func(b []byte, v any) ([]byte, error), from func(b []byte, v any) error) {
	formsMu.Lock()
	defer formsMu.Unlock()
	all := []form{{of, appendTo, from}}
	if before := forms.Load(); before != nil {
		all = slices.Concat(all, *before)
	}
	forms.Store(&all)
	plans.Clear()
}

// registered returns the form that was registered for a type of no pointers.
func registered(t reflect.Type) *form {
	all := forms.Load()
	if all == nil || t.Kind() == reflect.Interface {
		return nil
	}
	p := reflect.PointerTo(t)
	for i := range *all {
		if f := &(*all)[i]; p.Implements(f.of) {
			return f
		}
	}
	return nil
}

// marshaler is the form of a type with MarshalBinary and UnmarshalBinary.
var marshaler = form{from: func(b []byte, v any) error { return v.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) }}

// bytes returns the form of what v points to.
func (f *form) bytes(v any) ([]byte, error) {
	if f.appendTo == nil {
		return v.(encoding.BinaryMarshaler).MarshalBinary()
	}
	return f.appendTo([]byte{}, v)
}

// append appends it.
func (f *form) append(b []byte, form Form, v any) ([]byte, error) {
	if f.appendTo == nil {
		data, err := f.bytes(v)
		if err != nil {
			return b, err
		}
		return form.appendBytes(b, data), nil
	}
	start := len(b)
	b = append(b, make([]byte, msgpack.MaxHead)...) // how long the head is depends on what follows
	at := len(b)
	all, err := f.appendTo(b, v)
	if err == nil && len(all) < at {
		err = errors.New("its registered form returns fewer bytes than it was given")
	}
	if err != nil {
		return b[:start], err
	}
	data := all[at:]
	all = form.appendBytesHead(all[:start], len(data))
	return append(all, data...), nil
}

func (f *form) read(b []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading the binary form panicked: %v", r)
		}
	}()
	return f.from(b, v)
}

// types reads types, for which registered forms are like MarshalBinary and
// UnmarshalBinary.
type types struct{ *travels.Reflect }

func (r types) Implements(t reflect.Type, f travels.Form) bool {
	if f == travels.MarshalsBinary || f == travels.UnmarshalsBinary {
		if reg := registered(t); reg != nil && t.Implements(reg.of) {
			return true
		}
		if t.Kind() == reflect.Pointer && registered(t.Elem()) != nil {
			return true
		}
	}
	return r.Reflect.Implements(t, f)
}

func (r types) PointerImplements(t reflect.Type, f travels.Form) bool {
	return r.Implements(reflect.PointerTo(t), f)
}

// Promoted finds the embedded field whose form would be that of the whole.
func (r types) Promoted(t reflect.Type) (field int, ok bool) {
	f := registered(t)
	if f == nil {
		return r.Reflect.Promoted(t)
	}
	if t.Kind() != reflect.Struct {
		return 0, false
	}
	for i := range t.NumField() {
		of := t.Field(i)
		if of.Anonymous && (of.Type.Implements(f.of) || reflect.PointerTo(of.Type).Implements(f.of)) {
			return i, true
		}
	}
	return 0, false
}
