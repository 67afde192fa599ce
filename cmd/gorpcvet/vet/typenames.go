package vet

import (
	"go/types"
	"strings"
)

// brief is a type as people read it, and as reflect has it.
func brief(t types.Type) string {
	return types.TypeString(types.Unalias(t), func(p *types.Package) string { return p.Name() })
}

// typeName is the name that reflect gives a type, by which Register names its service.
func typeName(t *types.Named) string {
	var args []string
	for i := range t.TypeArgs().Len() {
		args = append(args, full(t.TypeArgs().At(i)))
	}
	if args == nil {
		return t.Obj().Name()
	}
	return t.Obj().Name() + "[" + strings.Join(args, ",") + "]"
}

// full is a type with the paths of its packages: identical types have one.
func full(t types.Type) string { return types.TypeString(types.Unalias(t), nil) }

// target returns what t points to, or t.
func target(t types.Type) types.Type {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

// shows reports whether t says what a value of it is.
func shows(t types.Type) bool {
	if t == nil || types.IsInterface(t) {
		return false
	}
	switch u := types.Unalias(t).(type) {
	case *types.Basic:
		return u.Kind() != types.Invalid && u.Kind() != types.UntypedNil
	case *types.TypeParam, *types.Tuple:
		return false
	}
	return !hasTypeParam(t, 0)
}

// hasTypeParam reports whether t is made of type parameters, as far as it is written.
func hasTypeParam(t types.Type, depth int) bool {
	if depth > 10 {
		return false
	}
	switch u := types.Unalias(t).(type) {
	case *types.TypeParam:
		return true
	case *types.Named:
		for i := range u.TypeArgs().Len() {
			if hasTypeParam(u.TypeArgs().At(i), depth+1) {
				return true
			}
		}
	case *types.Map:
		return hasTypeParam(u.Key(), depth+1) || hasTypeParam(u.Elem(), depth+1)
	case interface{ Elem() types.Type }:
		return hasTypeParam(u.Elem(), depth+1)
	}
	return false
}

func isNamed(t types.Type, path, name string) bool {
	named, ok := types.Unalias(t).(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == path && named.Obj().Name() == name
}

func isContext(t types.Type) bool { return isNamed(t, "context", "Context") }

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }
