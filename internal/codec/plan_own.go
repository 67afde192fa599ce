package codec

import (
	"bytes"
	"reflect"
	"sync"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// hasOwnForm reports whether values of t, no pointer or interface, are written as
// the bytes that their own MarshalBinary, or a registered form, makes.
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
	f, guards := registered(t), guardsOf(t)
	if f == nil {
		f = &marshaler
	}
	embedded := promoted(t)
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		for i := range guards {
			if g := &guards[i]; !g.holds(at) {
				e.lost(g.why)
				e.within(g.name)
				return b
			}
		}
		if embedded.isNil(at) {
			return append(b, msgpack.Nil)
		}
		b, e.err = f.append(b, e.form, reflect.NewAt(t, at).Interface())
		return b
	}
	zero := sync.OnceValues(func() (b []byte, ok bool) {
		defer func() {
			if recover() != nil {
				ok = false
			}
		}()
		b, err := f.bytes(reflect.New(t).Interface())
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
		if !embedded.make(d, at) {
			return false
		}
		err := f.read(d.stable(data), v.Interface())
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

// hops are the pointers by which a struct embeds the type whose form it has.
type hops []hop

type hop struct {
	offset uintptr // from the target of the pointer before
	to     reflect.Type
}

func promoted(t reflect.Type) (all hops) {
	var offset uintptr
	for range MaxDepth {
		i, ok := Types.Promoted(t)
		if !ok {
			break
		}
		f := t.Field(i)
		offset += f.Offset
		if t = f.Type; t.Kind() == reflect.Pointer {
			t = t.Elem()
			all, offset = append(all, hop{offset, t}), 0
		}
	}
	return all
}

// isNil reports whether one of the pointers is nil, so that there is nothing to write.
func (h hops) isNil(at unsafe.Pointer) bool {
	for i := range h {
		if at = *(*unsafe.Pointer)(unsafe.Add(at, h[i].offset)); at == nil {
			return true
		}
	}
	return false
}

// make makes what the pointers point to.
func (h hops) make(d *decoder, at unsafe.Pointer) bool {
	for i := range h {
		if !d.add(allocated(h[i].to.Size())) {
			return false
		}
		to := (*unsafe.Pointer)(unsafe.Add(at, h[i].offset))
		*to = reflect.New(h[i].to).UnsafePointer()
		at = *to
	}
	return true
}

// mostShared is how much memory the binary forms of small values share.
const mostShared = 1 << 10

// stable returns a copy of a binary form, which its type may keep although
// encoding.BinaryUnmarshaler says that it must not: the message's buffer is used
// again. Small ones of a message share memory, so that not each is an allocation.
func (d *decoder) stable(data []byte) []byte {
	n := len(data)
	if n > mostShared/4 {
		return own(data)
	}
	if len(d.shared) < n {
		d.sharing = min(max(2*d.sharing, n), mostShared)
		d.shared = make([]byte, d.sharing)
	}
	s := d.shared[:n:n]
	d.shared = d.shared[n:]
	copy(s, data)
	return s
}
