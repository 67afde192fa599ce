// Package travels has the rules that say which parts of a type are lost on the
// wire. They are read of the types of a running program, by internal/codec, and of
// its sources, by cmd/gorpcvet.
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
	Selfer                       // the codec library's, for types that write and read themselves
	Forms                        // how many there are
)

// Reader reads types of one representation, T.
type Reader[T any] interface {
	Kind(T) reflect.Kind
	String(T) string
	Elem(T) T          // of a pointer, slice, array, map or channel
	Key(T) T           // of a map
	NumMethod(T) int   // of an interface
	NumField(T) int    // of a struct
	Field(T, int) Part // of a struct
	FieldType(T, int) T
	Implements(T, Form) bool
	PointerImplements(T, Form) bool
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

// Obstacle finds the first part of t that is lost where it is not nil or zero: the
// way to it, from inside out, and why. It returns no reason if there is none.
func Obstacle[T comparable](r Reader[T], t T) (path []Step[T], why string) {
	return obstacle(r, t, make(map[T]bool))
}

func obstacle[T comparable](r Reader[T], t T, seen map[T]bool) (path []Step[T], why string) {
	if seen[t] {
		return nil, ""
	}
	seen[t] = true
	if why = Lost(r, t); why != "" || Marshals(r, t) {
		return nil, why
	}
	switch r.Kind(t) {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return obstacle(r, r.Elem(t), seen)
	case reflect.Map:
		if path, why = obstacle(r, r.Key(t), seen); why != "" {
			return path, why
		}
		return obstacle(r, r.Elem(t), seen)
	case reflect.Struct:
		for i := range r.NumField(t) {
			f, of := r.Field(t, i), r.FieldType(t, i)
			if !Encoded(f, r.Kind(of)) {
				continue
			}
			if path, why = obstacle(r, of, seen); why != "" {
				return append(path, Step[T]{t, i, f.Name}), why
			}
		}
	}
	return nil, ""
}

// Tag returns the tag that says how a field travels.
func Tag(f Part) string {
	if tag := f.Tag.Get("codec"); tag != "" {
		return tag
	}
	return f.Tag.Get("json")
}

// Encoded reports whether the codec encodes a field, of a type of that kind, or
// those of the struct that it embeds.
func Encoded(f Part, kind reflect.Kind) bool {
	return Tag(f) != "-" && (f.Exported || f.Embedded && kind == reflect.Struct)
}

// Lost says why values of t itself cannot travel, but for nil and zero ones: the
// codec has no form for a channel or a func, leaves out what a type has only a
// text form for, and cannot make what an interface with methods holds.
func Lost[T any](r Reader[T], t T) (why string) {
	switch kind := r.Kind(t); kind {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		if !Marshals(r, t) {
			return "a " + kind.String() + " (" + r.String(t) + ")"
		}
	case reflect.Interface:
		if r.NumMethod(t) > 0 {
			return "the interface " + r.String(t) + ", which does not say what to decode into; use a concrete type"
		}
	case reflect.Struct:
		if onlyText(r, t) {
			return "a " + r.String(t) + ", which has no exported fields and only a text form; give it MarshalBinary and UnmarshalBinary"
		}
	}
	return ""
}

// Marshals reports whether t's own methods say how it travels. A text form does
// not count: the codec uses it in text formats only.
func Marshals[T any](r Reader[T], t T) bool {
	return (r.Implements(t, MarshalsBinary) || r.PointerImplements(t, MarshalsBinary)) &&
		(r.Kind(t) == reflect.Interface || r.PointerImplements(t, UnmarshalsBinary)) ||
		r.Implements(t, Selfer) || r.PointerImplements(t, Selfer)
}

// onlyText reports whether all of a struct's content is hidden, and would be
// lost without a word, though it has a text form.
func onlyText[T any](r Reader[T], t T) bool {
	if Marshals(r, t) {
		return false
	}
	for i := range r.NumField(t) {
		if f := r.Field(t, i); f.Exported || f.Embedded {
			return false
		}
	}
	return r.NumField(t) > 0 && (r.Implements(t, MarshalsText) || r.PointerImplements(t, MarshalsText))
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
