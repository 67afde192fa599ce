package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
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
	jsonMarshaler     = reflect.TypeFor[json.Marshaler]()
	gobEncoder        = reflect.TypeFor[interface{ GobEncode() ([]byte, error) }]()
)

// obstacle finds the first part of t that is lost where it is not nil or zero.
func obstacle(t reflect.Type, seen map[reflect.Type]bool) (path []string, why string) {
	if seen[t] {
		return nil, ""
	}
	seen[t] = true
	if t.Kind() == reflect.Struct && !goesToLibrary(t) {
		return obstacleIn(t, seen)
	}
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
	}
	return nil, ""
}

// obstacleIn is obstacle for a struct: the first in the order of its fields.
func obstacleIn(t reflect.Type, seen map[reflect.Type]bool) (path []string, why string) {
	guards := guardsOf(t)
	if len(guards) > 0 && guards[0].name == "" {
		return nil, guards[0].why
	}
	for i := range t.NumField() {
		f := t.Field(i)
		for _, g := range guards {
			if g.name == f.Name && g.within == nil {
				return []string{g.name}, g.why
			}
		}
		if tagOf(f) == "-" || !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) || Marshals(t) {
			continue
		}
		if path, why = obstacle(f.Type, seen); why != "" {
			return append(path, f.Name), why
		}
	}
	for _, g := range guards {
		return []string{g.name}, g.why
	}
	return nil, ""
}

// cannotTravel says why values of t itself cannot travel, but for nil and zero
// ones: there is no form for a channel or a func, and nothing to tell what an
// interface with methods holds.
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
		return hidesAll(t)
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

// hidesAll says why nothing of a struct travels, though there is something in it:
// no field is exported. What locks of sync hold belongs to one process.
func hidesAll(t reflect.Type) string {
	if Marshals(t) || t.NumField() == 0 || t.PkgPath() == "sync" {
		return ""
	}
	some := false
	for i := range t.NumField() {
		f := t.Field(i)
		if f.IsExported() || f.Anonymous || tagOf(f) == "-" {
			return ""
		}
		some = some || f.Name != "_"
	}
	if !some {
		return ""
	}
	p := reflect.PointerTo(t)
	why := "a " + t.String() + ", which has no exported fields"
	switch {
	case p.Implements(binaryMarshaler):
		return why + ", and MarshalBinary without UnmarshalBinary; add it"
	case p.Implements(binaryUnmarshaler):
		return why + ", and UnmarshalBinary without MarshalBinary; add it"
	case p.Implements(textMarshaler):
		why += " and only a text form"
	case p.Implements(jsonMarshaler):
		why += " and only a JSON form"
	case p.Implements(gobEncoder):
		why += " and only a gob form"
	}
	return why + "; give it MarshalBinary and UnmarshalBinary"
}

// guardsOf returns the parts of a struct that are lost unless they are zero.
func guardsOf(t reflect.Type) (guards []guard) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	if Marshals(t) {
		return besideForm(t)
	}
	if why := hidesAll(t); why != "" {
		return []guard{{typ: t, why: why}}
	}
	info := structOf(t)
	for _, l := range info.lost {
		within, offset := flatten(l.within, l.offset)
		guards = append(guards, guard{l.goName, l.typ, within, offset, l.why})
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if tagOf(f) == "-" {
			continue
		}
		g := guard{name: f.Name, typ: f.Type, offset: f.Offset}
		switch k := f.Type.Kind(); {
		case f.IsExported() && (k == reflect.Func || k == reflect.UnsafePointer):
			g.why = cannotTravel(f.Type)
		case f.Anonymous && k == reflect.Struct && Marshals(f.Type) && !named(f):
			g.why = "an embedded " + f.Type.String() + ", whose own form is not used here; give the field a name"
		case f.Anonymous && k == reflect.Struct && !named(f):
			g.why = hidesAll(f.Type)
		}
		if g.why != "" {
			guards = append(guards, g)
		}
	}
	return guards
}

// named reports whether a tag names a field.
func named(f reflect.StructField) bool {
	name, _, _ := strings.Cut(tagOf(f), ",")
	return name != ""
}

// besideForm returns the guards of a struct that is written in the form of a type
// which it embeds: its other fields are not in that.
func besideForm(t reflect.Type) (guards []guard) {
	of, ok := promotedForm(t)
	if !ok {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if i == of || !f.IsExported() || tagOf(f) == "-" {
			continue
		}
		guards = append(guards, guard{name: f.Name, typ: f.Type, offset: f.Offset, why: "beside an embedded " + t.Field(of).Type.String() +
			", whose form is that of the whole struct; give that field a name, or the struct MarshalBinary and UnmarshalBinary"})
	}
	return guards
}

// promotedForm returns the embedded field whose MarshalBinary is that of the struct,
// if it is not the struct's own. The compiler makes the methods that are promoted.
func promotedForm(t reflect.Type) (field int, ok bool) {
	if reflect.PointerTo(t).Implements(selfer) || strings.Contains(t.Name(), "[") { // those of generic types are made, too
		return 0, false
	}
	m, ok := t.MethodByName("MarshalBinary")
	if !ok {
		m, ok = reflect.PointerTo(t).MethodByName("MarshalBinary")
	}
	if !ok {
		return 0, false
	}
	if file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer()); file != "<autogenerated>" {
		return 0, false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && (f.Type.Implements(binaryMarshaler) || reflect.PointerTo(f.Type).Implements(binaryMarshaler)) {
			return i, true
		}
	}
	return 0, false
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
