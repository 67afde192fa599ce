package vet

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"runtime"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// chained declares types, T0 and on, of which each is made of the next.
func chained(n int, each, last string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.NewReplacer("NEXT", fmt.Sprint("T", i+1), "THIS", fmt.Sprint("T", i)).Replace(each) + "\n")
	}
	return b.String() + strings.ReplaceAll(last, "THIS", fmt.Sprint("T", n)) + "\n"
}

// TestNestedTypesAreReadInTheSquareOfTheirDepth counts the memory that is used to
// describe types four times as deep: at most 16 times as much, and the rest for chance.
func TestNestedTypesAreReadInTheSquareOfTheirDepth(t *testing.T) {
	const text = "type THIS struct{ X int }\nfunc (THIS) MarshalText() ([]byte, error) { return nil, nil }"
	for name, source := range map[string]func(n int) string{
		"named": func(n int) string { return chained(n, "type THIS struct{ A, B []NEXT }", "type THIS int") },
		"embedded": func(n int) string {
			return chained(n, "type THIS struct{ NEXT; FTHIS int }", "type THIS struct{ X int }")
		},
		"with text": func(n int) string { return chained(n, "type THIS struct{ NEXT; FTHIS int }", text) },
		"pointers":  func(n int) string { return chained(n, "type THIS struct{ *NEXT; FTHIS int }", text) },
		"unnamed": func(n int) string {
			return "type T0 " + strings.Repeat("struct{ A int; B ", n) + "int" + strings.Repeat("}", n)
		},
		"slices": func(n int) string { return "type T0 " + strings.Repeat("[]", n) + "int" },
		"maps":   func(n int) string { return "type T0 " + strings.Repeat("map[string]", n) + "int" },
	} {
		t.Run(name, func(t *testing.T) {
			shallow, deep := describing(t, source(100)), describing(t, source(400))
			if t.Logf("%d KiB, and %d KiB", shallow>>10, deep>>10); deep > 20*shallow {
				t.Errorf("%d bytes to describe types that nest 100 deep, and %d of types 400 deep", shallow, deep)
			}
		})
	}
}

// describing returns how many bytes are allocated to describe the type T0 of a source.
func describing(t *testing.T, source string) uint64 {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "a.go", "package a\n"+source, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(types.Config).Check("a", fset, []*ast.File{f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	of := p.Scope().Lookup("T0").Type()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g := &goTypes{}
	d := describer{Rules: g}
	m := d.Method(0, g.one(of), g.one(of))
	runtime.ReadMemStats(&after)
	if m.State != shape.Here || m.LostArgs != "" {
		t.Fatalf("%+v", m)
	}
	return after.TotalAlloc - before.TotalAlloc
}
