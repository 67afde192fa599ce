package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"unsafe"
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
	text := fmt.Sprintf("type %v cannot travel: %s%s", e.Of, describePath(e.path), e.why)
	if len(e.outer) > 0 {
		text = "field " + pathText(e.outer) + ": " + text
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

func describePath(path []string) string {
	if len(path) == 0 {
		return "it is "
	}
	return "field " + pathText(path) + " is "
}

// pathText joins the parts of a path, which come from inside out.
func pathText(path []string) string {
	var b strings.Builder
	for i := len(path) - 1; i >= 0; i-- {
		if b.Len() > 0 && !strings.HasPrefix(path[i], "[") {
			b.WriteByte('.')
		}
		b.WriteString(path[i])
	}
	return b.String()
}

// travelsPartly returns an error that names the first part of t that travels
// only while it is nil or zero, if there is one.
func travelsPartly(t reflect.Type) error {
	path, why := obstacle(t, make(map[reflect.Type]bool))
	if why == "" {
		return nil
	}
	return fmt.Errorf("type %v cannot travel whole: %s%s; only nil or zero travels", t, describePath(path), why)
}

var (
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

// obstacle finds the first part of t that is lost where it is not nil or zero.
func obstacle(t reflect.Type, seen map[reflect.Type]bool) (path []string, why string) {
	if seen[t] {
		return nil, ""
	}
	seen[t] = true
	if why = cannotTravel(t); why != "" || Marshals(t) {
		return nil, why
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return obstacle(t.Elem(), seen)
	case reflect.Map:
		if path, why = obstacle(t.Key(), seen); why != "" {
			return path, why
		}
		return obstacle(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if tag := tagOf(f); tag == "-" || !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) {
				continue
			}
			if path, why = obstacle(f.Type, seen); why != "" {
				return append(path, f.Name), why
			}
		}
	}
	return nil, ""
}

// cannotTravel says why values of t itself cannot travel, but for nil and zero
// ones: the codec has no form for a channel or a func, leaves out what a type
// has only a text form for, and cannot make what an interface with methods
// holds.
func cannotTravel(t reflect.Type) (why string) {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		if !Marshals(t) {
			return "a " + t.Kind().String() + " (" + t.String() + ")"
		}
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return "the interface " + t.String() + ", which does not say what to decode into; use a concrete type"
		}
	case reflect.Struct:
		if onlyText(t) {
			return "a " + t.String() + ", which has no exported fields and only a text form; give it MarshalBinary and UnmarshalBinary"
		}
	}
	return ""
}

// Marshals reports whether t's own methods say how it travels. A text form
// does not count: the codec uses it in text formats only.
func Marshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return (t.Implements(binaryMarshaler) || p.Implements(binaryMarshaler)) &&
		(t.Kind() == reflect.Interface || p.Implements(binaryUnmarshaler)) ||
		t.Implements(selfer) || p.Implements(selfer)
}

// onlyText reports whether all of a struct's content is hidden, and would be
// lost without a word, though it has a text form.
func onlyText(t reflect.Type) bool {
	if Marshals(t) {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous {
			return false
		}
	}
	return t.NumField() > 0 && (t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler))
}

// loses reports whether encoding loses v itself, of a type that cannotTravel
// tells of.
func loses(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Chan, reflect.Func:
		return !v.IsNil()
	case reflect.UnsafePointer:
		return !v.IsNil()
	case reflect.Struct:
		return !v.IsZero() && !sameText(v)
	}
	return false
}

// sameText reports whether the text of v is that of a zero value: a big.Int that
// has become 0 is not zero in memory.
func sameText(v reflect.Value) bool {
	if !v.CanInterface() {
		return false
	}
	p := reflect.New(v.Type())
	zero, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return false
	}
	p.Elem().Set(v)
	text, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	return err == nil && bytes.Equal(text, zero)
}

// guardsOf returns the parts of a struct that are lost unless they are zero.
func guardsOf(t reflect.Type) (guards []guard) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	if why := cannotTravel(t); why != "" {
		guards = append(guards, guard{typ: t, why: why})
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if k := f.Type.Kind(); tagOf(f) != "-" && f.IsExported() && (k == reflect.Func || k == reflect.UnsafePointer) {
			guards = append(guards, guard{name: f.Name, typ: f.Type, offset: f.Offset, why: cannotTravel(f.Type)})
		}
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
	return !loses(reflect.NewAt(g.typ, unsafe.Add(p, g.offset)).Elem())
}
