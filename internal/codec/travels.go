package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// What a value would lose on its way is an error when it is there, and nothing
// when it is nil or zero: types are not refused. That a type has such parts is
// told when a method is registered, and by Check.

// PartError is the error of a value with a part that cannot travel.
type PartError struct {
	Of    reflect.Type // that the path begins at
	path  []string     // of the part, from inside out
	why   string
	outer []string // of an interface that holds a value of the type, from inside out
}

func (e *PartError) Error() string {
	text := fmt.Sprintf("type %v cannot travel: %s", e.Of, travels.Describe(e.path, e.why))
	if len(e.outer) > 0 {
		text = "field " + travels.Join(e.outer) + ": " + text
	}
	return text
}

// within adds to the path of a part.
func (e *PartError) within(part string) {
	if e.Of == nil {
		e.path = append(e.path, part)
	} else {
		e.outer = append(e.outer, part)
	}
}

// Partly returns an error that names the first part of t that travels only while it
// is nil or zero, if there is one.
func Partly(t reflect.Type) error {
	path, why := travels.Obstacle(Types, t)
	if why == "" {
		return nil
	}
	return fmt.Errorf("type %v cannot travel whole: %s; only nil or zero travels", t, travels.Describe(travels.Names(path), why))
}

// guardsOf returns the parts of a struct that are lost unless they are zero.
func guardsOf(t reflect.Type) (guards []guard) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, l := range travels.Losses(Types, t) {
		g := guard{typ: l.Type, why: l.Why}
		if n := len(l.Path); n > 0 {
			g.name = l.Path[n-1].Name
			g.within, g.offset = memory(l.Path)
		}
		guards = append(guards, g)
	}
	return guards
}

// holds reports whether nothing is lost of the struct that p points to.
func (g *guard) holds(p unsafe.Pointer) bool {
	for _, s := range g.within {
		if p = *(*unsafe.Pointer)(unsafe.Add(p, s.offset)); p == nil {
			return true
		}
	}
	v := reflect.NewAt(g.typ, unsafe.Add(p, g.offset)).Elem()
	return v.IsZero() || v.Kind() == reflect.Struct && sameText(v)
}

// sameText reports whether v has a text that is that of a zero value: a big.Int
// that has become 0 is not zero in memory.
func sameText(v reflect.Value) bool {
	p := reflect.New(v.Type())
	zero, ok := p.Interface().(encoding.TextMarshaler)
	if !ok {
		return false
	}
	want, err := zero.MarshalText()
	if err != nil {
		return false
	}
	p.Elem().Set(v)
	text, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	return err == nil && bytes.Equal(text, want)
}
