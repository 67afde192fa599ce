package main

import (
	"flag"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

var large = flag.Bool("large", false, "read five large modules, which are compiled first: some minutes")

// TestLargeModules reads modules that do not use the library, all of their packages
// and with every check: it finds nothing, and does not panic. Without -large it
// reads one.
func TestLargeModules(t *testing.T) {
	modules := []string{
		"github.com/quic-go/quic-go", "github.com/libp2p/go-libp2p", "github.com/ipfs/boxo", "google.golang.org/grpc", "golang.org/x/tools",
	}
	if !*large {
		modules = modules[:1]
	}
	for _, module := range modules {
		r := &run{patterns: []string{module + "/..."}, dir: "../.."}
		pkgs, _, err := r.load(nil)
		if err != nil {
			t.Fatal(err)
		}
		broken := 0
		for _, p := range pkgs {
			if len(p.Errors) > 0 {
				broken++ // it needs modules that this workspace does not
			}
		}
		graph, err := checker.Analyze([]*analysis.Analyzer{vet.Program(pkgs, vet.Options{All: true})}, pkgs, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range graph.Roots {
			if root.Err != nil {
				t.Errorf("%v: %v", root, root.Err)
			}
			for _, d := range root.Diagnostics {
				t.Errorf("%v: %s", root.Package.Fset.Position(d.Pos), d.Message)
			}
		}
		t.Logf("%s: %d packages, of which %d do not compile here", module, len(pkgs), broken)
		if len(pkgs) < 20 || broken > len(pkgs)/4 {
			t.Errorf("%s: of %d packages %d do not compile", module, len(pkgs), broken)
		}
	}
}
