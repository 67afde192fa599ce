package vet

import (
	"reflect"
	"testing"

	"golang.org/x/tools/go/packages"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet/testdata/shapes"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// TestSourcesAndProgramsAreReadAlike describes types of a package as its program has
// them and as its sources say, and finds what of them is lost.
func TestSourcesAndProgramsAreReadAlike(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, "./testdata/shapes")
	if err != nil || packages.PrintErrors(pkgs) > 0 {
		t.Fatal(err)
	}
	lost := 0
	for name, v := range shapes.All {
		of, source := reflect.TypeOf(v), pkgs[0].Types.Scope().Lookup(name).Type()
		running := shape.Describer[reflect.Type]{Rules: codec.Types}
		types := &goTypes{}
		read := describer{Rules: types}
		a, b := running.Method(1, of, of), read.Method(1, types.one(source), types.one(source))
		for _, all := range [][]shape.Type{running.Types, read.Types} {
			for i := range all {
				all[i].Name = "" // byte for uint8, any for interface {}: for people
			}
		}
		if a != b || !reflect.DeepEqual(running.Description, read.Description) {
			t.Errorf("%s:\n%+v\n%+v", name, running.Description, read.Description)
		}
		pathA, whyA := travels.Obstacle(codec.Types, of)
		pathB, whyB := travels.Obstacle(read.Rules, types.one(source))
		if whyA != whyB || !reflect.DeepEqual(travels.Names(pathA), travels.Names(pathB)) {
			t.Errorf("%s: %v %q, and %v %q", name, travels.Names(pathA), whyA, travels.Names(pathB), whyB)
		}
		if whyA != "" {
			lost++
		}
	}
	if lost != 17 {
		t.Errorf("%d types lose something", lost)
	}
}
