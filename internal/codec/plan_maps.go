package codec

import (
	"reflect"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// mapping makes the plan of a type of maps.
func (pl planner) mapping(p *plan) {
	switch p.typ {
	case reflect.TypeFor[map[string]any]():
		p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
			return encodeStringMap(e, b, *(*map[string]any)(at))
		}
		p.dec = decodeStringMap((*decoder).any)
		return
	case reflect.TypeFor[map[string]int64]():
		p.enc, p.dec = encodeInt64Map, decodeStringMap(func(d *decoder) (n int64, ok bool) {
			ok = scalars[reflect.Int64].dec(d, unsafe.Pointer(&n))
			return n, ok
		})
		return
	case reflect.TypeFor[map[string]string]():
		p.enc, p.dec = encodeTextMap, decodeStringMap(func(d *decoder) (s string, ok bool) {
			ok = decodeString(d, unsafe.Pointer(&s))
			return s, ok
		})
		return
	}
	t := p.typ
	key, elem := pl.plan(t.Key()), pl.plan(t.Elem())
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		return encodeMap(e, b, reflect.NewAt(t, at).Elem(), key, elem)
	}
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		if d.isNil() {
			*(*unsafe.Pointer)(at) = nil
			return true
		}
		n, ok := d.container(msgpack.KindMap, "a map")
		if !ok || !d.add(mapOf(n, key.typ.Size(), elem.typ.Size())) {
			return false
		}
		m := reflect.MakeMapWithSize(t, n)
		*(*unsafe.Pointer)(at) = m.UnsafePointer()
		return decodePairs(d, m, n, key, elem)
	}
}

func encodeMap(e *encoder, b []byte, m reflect.Value, key, elem *plan) []byte {
	if m.IsNil() {
		return append(b, msgpack.Nil)
	}
	n := m.Len()
	if !e.open(n) {
		return b
	}
	b = msgpack.AppendMap(b, n)
	if n > 0 {
		k, v := reflect.New(key.typ), reflect.New(elem.typ)
		for it := m.MapRange(); it.Next(); {
			k.Elem().SetIterKey(it)
			v.Elem().SetIterValue(it)
			if b = key.enc(e, b, k.UnsafePointer()); e.err != nil {
				e.within("[key]")
				return b
			}
			if b = elem.enc(e, b, v.UnsafePointer()); e.err != nil {
				e.within("[]")
				return b
			}
		}
	}
	e.close()
	return b
}

// decodePairs decodes n pairs into m, and closes their container.
func decodePairs(d *decoder, m reflect.Value, n int, key, elem *plan) bool {
	if n > 0 {
		k, v := reflect.New(key.typ), reflect.New(elem.typ)
		for i := range n {
			if i > 0 {
				k.Elem().SetZero()
				v.Elem().SetZero()
			}
			if !key.dec(d, k.UnsafePointer()) || !d.canBeKey(k.Elem()) {
				return d.within("[key]")
			}
			if !elem.dec(d, v.UnsafePointer()) {
				return d.within("[]")
			}
			m.SetMapIndex(k.Elem(), v.Elem())
		}
	}
	d.close()
	return true
}

// canBeKey refuses a key that Go cannot have in a map: one in an interface. Bytes
// become a string, as v0.6 makes them.
func (d *decoder) canBeKey(k reflect.Value) bool {
	if k.Kind() == reflect.Interface && !k.IsNil() {
		if b, ok := k.Interface().([]byte); ok && k.NumMethod() == 0 {
			k.Set(reflect.ValueOf(string(b)))
			return true
		}
	}
	if !k.Comparable() {
		return d.misfit("a %v cannot be the key of a map", typeWithin(k))
	}
	return true
}

func typeWithin(k reflect.Value) reflect.Type {
	if k.Kind() == reflect.Interface {
		k = k.Elem()
	}
	return k.Type()
}

func encodeStringMap(e *encoder, b []byte, m map[string]any) []byte {
	if m == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(m)) {
		return b
	}
	b = msgpack.AppendMap(b, len(m))
	for k, v := range m {
		if b = e.dynamic(e.form.appendString(b, k), v); e.err != nil {
			e.within("[]")
			return b
		}
	}
	e.close()
	return b
}

func encodeInt64Map(e *encoder, b []byte, p unsafe.Pointer) []byte {
	m := *(*map[string]int64)(p)
	if m == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(m)) {
		return b
	}
	b = msgpack.AppendMap(b, len(m))
	for k, n := range m {
		b = appendInt(e.form.appendString(b, k), n)
	}
	e.close()
	return b
}

func encodeTextMap(e *encoder, b []byte, p unsafe.Pointer) []byte {
	m := *(*map[string]string)(p)
	if m == nil {
		return append(b, msgpack.Nil)
	}
	if !e.open(len(m)) {
		return b
	}
	b = msgpack.AppendMap(b, len(m))
	for k, s := range m {
		b = e.form.appendString(e.form.appendString(b, k), s)
	}
	e.close()
	return b
}

// decodeStringMap is the plan of maps with strings as keys.
func decodeStringMap[T any](elem func(*decoder) (T, bool)) decodeFunc {
	return func(d *decoder, p unsafe.Pointer) bool {
		to := (*map[string]T)(p)
		if d.isNil() {
			*to = nil
			return true
		}
		n, ok := d.container(msgpack.KindMap, "a map")
		if !ok || !d.add(mapOf(n, unsafe.Sizeof(""), unsafe.Sizeof(*new(T)))) {
			return false
		}
		m := make(map[string]T, n)
		for range n {
			var k string
			if !decodeString(d, unsafe.Pointer(&k)) {
				return d.within("[key]")
			}
			v, ok := elem(d)
			if !ok {
				return d.within("[]")
			}
			m[k] = v
		}
		d.close()
		*to = m
		return true
	}
}
