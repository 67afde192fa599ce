package codec

import (
	"reflect"
	"strings"
	"sync"
)

// Fields are the types of a struct's fields, as the codec finds them.
type Fields struct {
	ByName map[string]reflect.Type
	Order  []reflect.Type
	Names  []string // in the same order

	embedded uint64 // what the pointers among embedded structs allocate
}

func isStruct(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

var fieldCache sync.Map // reflect.Type to *Fields

// FieldsOf returns the fields of a struct type.
func FieldsOf(t reflect.Type) *Fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(*Fields)
	}
	f := &Fields{ByName: make(map[string]reflect.Type)}
	for _, field := range reflect.VisibleFields(t) {
		name := field.Name
		tag := field.Tag.Get("codec")
		if tag == "" {
			tag = field.Tag.Get("json")
		}
		if !field.IsExported() || tag == "-" {
			continue
		}
		if own, _, _ := strings.Cut(tag, ","); own != "" {
			name = own
		} else if field.Anonymous && isStruct(field.Type) {
			f.embedded += allocates(field.Type)
			continue // its fields are visible themselves
		}
		f.ByName[name] = field.Type
		f.Order, f.Names = append(f.Order, field.Type), append(f.Names, name)
	}
	stored, _ := fieldCache.LoadOrStore(t, f)
	return stored.(*Fields)
}

// WrittenAsArray reports whether a struct is written as the library's toarray
// says.
func WrittenAsArray(t reflect.Type) bool {
	of, ok := t.FieldByName("_struct")
	return ok && strings.Contains(of.Tag.Get("codec"), ",toarray")
}
