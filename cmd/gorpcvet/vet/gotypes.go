package vet

import (
	"go/token"
	"go/types"
	"reflect"
	"strings"
	"sync"

	"golang.org/x/tools/go/types/typeutil"

	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// goTypes reads types of sources for the library's rules. Identical types are one:
// what it returns can be compared.
type goTypes struct {
	known typeutil.Map
	ones  map[types.Type]types.Type // what known has for each
	forms map[string]bool           // interfaces that have a form by package forms, by their methods
	names map[types.Type]*methodNames
	has   map[formOfType]bool
}

// formOfType is a question that Implements has answered.
type formOfType struct {
	of   types.Type
	form travels.Form
}

var _ travels.Reader[types.Type] = (*goTypes)(nil)

// describer describes types of sources as the library does those of a program.
type describer = shape.Describer[types.Type]

func (g *goTypes) one(t types.Type) types.Type {
	t = types.Unalias(t)
	if one := g.ones[t]; one != nil {
		return one
	}
	one, _ := g.known.At(t).(types.Type) // which reads all that an unnamed type is made of
	if one == nil {
		one = t
		g.known.Set(t, t)
	}
	if g.ones == nil {
		g.ones = make(map[types.Type]types.Type)
	}
	g.ones[t] = one
	return one
}

var kinds = map[types.BasicKind]reflect.Kind{
	types.Bool: reflect.Bool, types.UntypedBool: reflect.Bool,
	types.Int: reflect.Int, types.Int8: reflect.Int8, types.Int16: reflect.Int16, types.Int32: reflect.Int32, types.Int64: reflect.Int64,
	types.UntypedInt: reflect.Int, types.UntypedRune: reflect.Int32,
	types.Uint: reflect.Uint, types.Uint8: reflect.Uint8, types.Uint16: reflect.Uint16, types.Uint32: reflect.Uint32, types.Uint64: reflect.Uint64,
	types.Uintptr: reflect.Uintptr, types.Float32: reflect.Float32, types.Float64: reflect.Float64, types.UntypedFloat: reflect.Float64,
	types.Complex64: reflect.Complex64, types.Complex128: reflect.Complex128, types.UntypedComplex: reflect.Complex128,
	types.String: reflect.String, types.UntypedString: reflect.String, types.UnsafePointer: reflect.UnsafePointer,
}

// Kind takes a type parameter for an interface: what it will be does not show.
func (g *goTypes) Kind(t types.Type) reflect.Kind {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return kinds[u.Kind()]
	case *types.Pointer:
		return reflect.Pointer
	case *types.Slice:
		return reflect.Slice
	case *types.Array:
		return reflect.Array
	case *types.Map:
		return reflect.Map
	case *types.Chan:
		return reflect.Chan
	case *types.Signature:
		return reflect.Func
	case *types.Struct:
		return reflect.Struct
	case *types.Interface:
		return reflect.Interface
	}
	return reflect.Invalid
}

// String is as reflect has it: with the names of packages, not their paths.
func (g *goTypes) String(t types.Type) string { return brief(t) }

func (g *goTypes) Elem(t types.Type) types.Type {
	return g.one(t.Underlying().(interface{ Elem() types.Type }).Elem())
}

func (g *goTypes) Key(t types.Type) types.Type { return g.one(t.Underlying().(*types.Map).Key()) }

func (g *goTypes) NumMethod(t types.Type) int {
	if _, ok := types.Unalias(t).(*types.TypeParam); ok {
		return 0
	}
	return t.Underlying().(*types.Interface).NumMethods()
}

func (g *goTypes) NumField(t types.Type) int { return t.Underlying().(*types.Struct).NumFields() }

func (g *goTypes) Field(t types.Type, i int) travels.Part {
	s := t.Underlying().(*types.Struct)
	f := s.Field(i)
	return travels.Part{Name: f.Name(), Exported: f.Exported(), Embedded: f.Embedded(), Tag: reflect.StructTag(s.Tag(i))}
}

func (g *goTypes) FieldType(t types.Type, i int) types.Type {
	return g.one(t.Underlying().(*types.Struct).Field(i).Type())
}

// formInterfaces are the interfaces of the forms that the standard library has.
var formInterfaces = sync.OnceValue(func() map[travels.Form]*types.Interface {
	bytes := types.NewVar(token.NoPos, nil, "", types.NewSlice(types.Typ[types.Byte]))
	err := types.NewVar(token.NoPos, nil, "", types.Universe.Lookup("error").Type())
	one := func(name string, params, results *types.Tuple) *types.Interface {
		sig := types.NewSignatureType(nil, nil, nil, params, results, false)
		return types.NewInterfaceType([]*types.Func{types.NewFunc(token.NoPos, nil, name, sig)}, nil).Complete()
	}
	return map[travels.Form]*types.Interface{
		travels.MarshalsBinary:   one("MarshalBinary", nil, types.NewTuple(bytes, err)),
		travels.UnmarshalsBinary: one("UnmarshalBinary", types.NewTuple(bytes), types.NewTuple(err)),
		travels.MarshalsText:     one("MarshalText", nil, types.NewTuple(bytes, err)),
		travels.MarshalsJSON:     one("MarshalJSON", nil, types.NewTuple(bytes, err)),
		travels.EncodesGob:       one("GobEncode", nil, types.NewTuple(bytes, err)),
	}
})

func (g *goTypes) Implements(t types.Type, f travels.Form) bool {
	if f == travels.MarshalsBinary || f == travels.UnmarshalsBinary {
		if methods, _ := g.registered(t); methods != "" {
			return true
		}
	}
	if !g.methodsOf(t).may(formMethods[f]) {
		return false
	}
	key := formOfType{g.one(t), f}
	has, known := g.has[key]
	if !known {
		if f == travels.Selfer {
			has = hasMethod(t, formMethods[f]) && hasMethod(t, "CodecDecodeSelf")
		} else {
			has = types.Implements(t, formInterfaces()[f])
		}
		if g.has == nil {
			g.has = make(map[formOfType]bool)
		}
		g.has[key] = has
	}
	return has
}

// registered returns the methods of the interface by which t, or a pointer to it, has a
// form of package forms, and the way to the first of them.
func (g *goTypes) registered(t types.Type) (methods string, way []int) {
	if types.IsInterface(t) {
		return "", nil
	}
	for all := range g.forms {
		way, has := []int(nil), true
		for name := range strings.SplitSeq(all, ",") {
			if has = g.methodsOf(t).may(name); !has {
				break
			}
			m, index, _ := types.LookupFieldOrMethod(t, true, nil, name)
			if _, has = m.(*types.Func); !has {
				break
			}
			way = index
		}
		if has {
			return all, way
		}
	}
	return "", nil
}

func (g *goTypes) PointerImplements(t types.Type, f travels.Form) bool {
	return g.Implements(types.NewPointer(t), f)
}

func hasMethod(t types.Type, name string) bool {
	obj, _, _ := types.LookupFieldOrMethod(t, false, nil, name)
	_, ok := obj.(*types.Func)
	return ok
}

// Promoted finds the embedded field on the way to the method. As of running programs,
// nothing is said of generic types.
func (g *goTypes) Promoted(t types.Type) (field int, ok bool) {
	if named, ok := types.Unalias(t).(*types.Named); ok && named.TypeArgs().Len() > 0 {
		return 0, false
	}
	if methods, way := g.registered(t); methods != "" {
		if len(way) < 2 {
			return 0, false
		}
		return way[0], true
	}
	if !g.methodsOf(t).may("MarshalBinary") {
		return 0, false
	}
	m, index, _ := types.LookupFieldOrMethod(t, true, nil, "MarshalBinary")
	if _, ok := m.(*types.Func); !ok || len(index) < 2 {
		return 0, false
	}
	return index[0], true
}

func (g *goTypes) Package(t types.Type) string {
	if named, ok := types.Unalias(t).(*types.Named); ok && named.Obj().Pkg() != nil {
		return named.Obj().Pkg().Path()
	}
	return ""
}

var sizes = types.SizesFor("gc", "amd64")

func (g *goTypes) Bits(t types.Type) int { return int(sizes.Sizeof(t.Underlying())) * 8 }

func (g *goTypes) Len(t types.Type) int { return int(t.Underlying().(*types.Array).Len()) }
