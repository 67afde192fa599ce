package codec

import (
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/direct"
)

// The codec, ugorji 1.3.2 (and 1.2.12, except for arrays), misreads some
// values that an interface holds as its word rather than by a pointer to them:
// where it wants the address of such a value, to index an array or to call a
// method, or compares it with zero for omitempty, it takes the word itself for
// that address. It reads what the word points to in the value's place, which
// is a wrong value at best, and at worst a fault that ends the process.
// Everything that it reaches through a pointer, a slice or a map it reads
// right, so it is given pointers to copies of such values, which are encoded
// as they are. When TestCodecMisreadsWhatInterfacesHoldAsAWord fails, all of
// this can go.

// isMisread reports whether the codec might misread a t that an interface holds.
func isMisread(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Array:
		return !direct.BehindInterface(t)
	case reflect.Map, reflect.Chan:
		return Marshals(t)
	}
	return false
}

func pointerTo(v any) any {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	return p.Interface()
}

// withPointers returns a pointer to a copy of v in which interfaces hold
// pointers to what is misread. checkValue has found an end to v.
func withPointers(v any) any {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	putPointers(p.Elem())
	return p.Interface()
}

// putPointers does that to v, and keeps what it leads to as it is.
func putPointers(v reflect.Value) {
	t := v.Type()
	n := nestingOf(t)
	if !n.unbounded {
		return
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		p := reflect.New(v.Elem().Type())
		p.Elem().Set(v.Elem())
		putPointers(p.Elem())
		if t.Kind() == reflect.Pointer || isMisread(p.Type().Elem()) {
			v.Set(p)
		} else {
			v.Set(p.Elem())
		}
	case reflect.Struct:
		for _, i := range n.fields {
			putPointers(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			putPointers(v.Index(i))
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		s := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(s, v)
		for i := range s.Len() {
			putPointers(s.Index(i))
		}
		v.Set(s)
	case reflect.Map:
		if v.IsNil() {
			return
		}
		m := reflect.MakeMapWithSize(t, v.Len())
		for it := v.MapRange(); it.Next(); {
			key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			key.Set(it.Key())
			elem.Set(it.Value())
			putPointers(key)
			putPointers(elem)
			m.SetMapIndex(key, elem)
		}
		v.Set(m)
	}
}
