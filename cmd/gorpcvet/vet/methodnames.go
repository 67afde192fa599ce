package vet

import (
	"go/types"
	"maps"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// formMethods names one method of each form: a type without it does not have the form.
var formMethods = map[travels.Form]string{
	travels.MarshalsBinary: "MarshalBinary", travels.UnmarshalsBinary: "UnmarshalBinary", travels.MarshalsText: "MarshalText",
	travels.MarshalsJSON: "MarshalJSON", travels.EncodesGob: "GobEncode", travels.Selfer: "CodecEncodeSelf",
}

// methodNames are the names of the methods that a type, or a pointer to it, may have:
// its own and those of what it embeds. To look one up takes the square of how deep
// types are embedded; most types have none of those that are looked for.
type methodNames struct {
	any   bool // it is not known which
	names map[string]bool
}

func (m *methodNames) may(name string) bool { return m.any || m.names[name] }

func (g *goTypes) methodsOf(t types.Type) *methodNames {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	if known := g.names[t]; known != nil {
		return known
	}
	if g.names == nil {
		g.names = make(map[types.Type]*methodNames)
	}
	g.names[t] = &methodNames{any: true} // for a type that embeds itself
	m := &methodNames{}
	add := func(name string) {
		if m.names == nil {
			m.names = make(map[string]bool)
		}
		m.names[name] = true
	}
	if named, ok := t.(*types.Named); ok {
		for method := range named.Methods() {
			add(method.Name())
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		for method := range u.Methods() {
			add(method.Name())
		}
	case *types.Struct:
		for f := range u.Fields() {
			if !f.Embedded() {
				continue
			}
			switch of := g.methodsOf(f.Type()); {
			case of.any:
				m = of
				g.names[t] = m
				return m
			case m.names == nil:
				m = of // one for a chain of embedded types
			default:
				m = &methodNames{names: maps.Clone(m.names)}
				maps.Copy(m.names, of.names)
			}
		}
	}
	g.names[t] = m
	return m
}
