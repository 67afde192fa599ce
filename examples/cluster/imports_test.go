package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/libp2p/go-libp2p-gorpc/examples/cluster/"

// TestComponentsKnowOnlyTheirClient sees to it that no component imports
// another.
func TestComponentsKnowOnlyTheirClient(t *testing.T) {
	t.Parallel()
	n := 0
	for _, component := range []string{"adder", "allocator", "api", "cluster", "consensus", "monitor", "restapi", "storage", "tracker"} {
		files, err := filepath.Glob(filepath.Join(component, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			n++
			for _, i := range parsed.Imports {
				path, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				other, ours := strings.CutPrefix(path, module)
				if ours && other != "api" && other != component {
					t.Errorf("%s imports %s", file, other)
				}
			}
		}
	}
	if n < 20 {
		t.Fatalf("only %d files were looked at", n)
	}
}
