// Package travels has the rules that say how types travel, and which parts of them are
// lost on the wire. They are read of the types of a running program, by internal/codec,
// and of its sources, by cmd/gorpcvet.
package travels

import (
	"reflect"
	"strings"
)

// Form is an encoding that a type may have methods for.
type Form int

// The forms: each is an interface that a type implements.
const (
	MarshalsBinary   Form = iota // encoding.BinaryMarshaler
	UnmarshalsBinary             // encoding.BinaryUnmarshaler
	MarshalsText                 // encoding.TextMarshaler
	MarshalsJSON                 // json.Marshaler
	EncodesGob                   // gob.GobEncoder
	Selfer                       // the codec library's, for types that write and read themselves
	Forms                        // how many there are
)

// Reader reads types of one representation, T.
type Reader[T any] interface {
	Kind(T) reflect.Kind
	String(T) string   // with the names of packages, not their paths
	Package(T) string  // the path of the package that declares it, if one does
	Bits(T) int        // of a number
	Len(T) int         // of an array
	Elem(T) T          // of a pointer, slice, array, map or channel
	Key(T) T           // of a map
	NumMethod(T) int   // of an interface
	NumField(T) int    // of a struct
	Field(T, int) Part // of a struct
	FieldType(T, int) T
	Implements(T, Form) bool
	PointerImplements(T, Form) bool
	Promoted(T) (field int, ok bool) // of a struct, the embedded field whose MarshalBinary is the struct's
}

// Part is a field of a struct.
type Part struct {
	Name     string
	Exported bool
	Embedded bool
	Tag      reflect.StructTag
}

// Step is one field on the way to a part: the struct, and the field's index.
type Step[T any] struct {
	Struct T
	Index  int
	Name   string
}

// tag returns the tag that says how a field travels.
func (f Part) tag() string {
	if tag := f.Tag.Get("codec"); tag != "" {
		return tag
	}
	return f.Tag.Get("json")
}

// name returns the name that a tag gives a field, if it does.
func (f Part) name() string {
	name, _, _ := strings.Cut(f.tag(), ",")
	return name
}

// stays reports whether a tag says that a field does not travel.
func (f Part) stays() bool { return f.tag() == "-" }

// Marshals reports whether t's own methods say how it travels. A text form does
// not count: the codec uses it in text formats only.
func Marshals[T any](r Reader[T], t T) bool {
	return (r.Implements(t, MarshalsBinary) || r.PointerImplements(t, MarshalsBinary)) &&
		(r.Kind(t) == reflect.Interface || r.PointerImplements(t, UnmarshalsBinary)) ||
		r.Implements(t, Selfer) || r.PointerImplements(t, Selfer)
}

// GoesToLibrary reports whether values of t, no pointer or interface, are left to the
// codec library: they write themselves with it, or are of its own types.
func GoesToLibrary[T any](r Reader[T], t T) bool {
	if r.Package(t) == "github.com/ugorji/go/codec" {
		if name := r.String(t); name == "codec.Raw" || name == "codec.RawExt" {
			return true
		}
	}
	return r.PointerImplements(t, Selfer)
}

// Describe says of a part, by the names on the way to it from inside out, why it
// is lost: "field A.B is a func (func())".
func Describe(path []string, why string) string {
	if len(path) == 0 {
		return "it is " + why
	}
	return "field " + Join(path) + " is " + why
}

// Join joins the parts of a path, which come from inside out.
func Join(path []string) string {
	var b strings.Builder
	for i := len(path) - 1; i >= 0; i-- {
		if b.Len() > 0 && !strings.HasPrefix(path[i], "[") {
			b.WriteByte('.')
		}
		b.WriteString(path[i])
	}
	return b.String()
}

// Names are the names of steps.
func Names[T any](path []Step[T]) (names []string) {
	for _, s := range path {
		names = append(names, s.Name)
	}
	return names
}
