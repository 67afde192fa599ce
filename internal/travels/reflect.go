package travels

import (
	"encoding"
	"reflect"
)

// Reflect reads the types of the running program.
type Reflect struct{ forms [Forms]reflect.Type }

// ForReflect returns a reader; selfer is the codec library's interface.
func ForReflect(selfer reflect.Type) *Reflect {
	return &Reflect{[Forms]reflect.Type{
		MarshalsBinary:   reflect.TypeFor[encoding.BinaryMarshaler](),
		UnmarshalsBinary: reflect.TypeFor[encoding.BinaryUnmarshaler](),
		MarshalsText:     reflect.TypeFor[encoding.TextMarshaler](),
		Selfer:           selfer,
	}}
}

func (*Reflect) Kind(t reflect.Type) reflect.Kind             { return t.Kind() }
func (*Reflect) String(t reflect.Type) string                 { return t.String() }
func (*Reflect) Elem(t reflect.Type) reflect.Type             { return t.Elem() }
func (*Reflect) Key(t reflect.Type) reflect.Type              { return t.Key() }
func (*Reflect) NumMethod(t reflect.Type) int                 { return t.NumMethod() }
func (*Reflect) NumField(t reflect.Type) int                  { return t.NumField() }
func (*Reflect) FieldType(t reflect.Type, i int) reflect.Type { return t.Field(i).Type }
func (r *Reflect) Implements(t reflect.Type, f Form) bool     { return t.Implements(r.forms[f]) }
func (r *Reflect) PointerImplements(t reflect.Type, f Form) bool {
	return r.Implements(reflect.PointerTo(t), f)
}
func (*Reflect) Field(t reflect.Type, i int) Part { return PartOf(t.Field(i)) }

// PartOf returns a field as the rules see it.
func PartOf(f reflect.StructField) Part {
	return Part{Name: f.Name, Exported: f.IsExported(), Embedded: f.Anonymous, Tag: f.Tag}
}
