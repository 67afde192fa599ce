package vet_test

import (
	"fmt"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

// findings are the messages of what is found in packages, after their places.
func findings(t *testing.T, pkgs []*packages.Package, o vet.Options) (messages []string) {
	t.Helper()
	graph, err := checker.Analyze([]*analysis.Analyzer{vet.Program(pkgs, o)}, pkgs, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range graph.Roots {
		if root.Err != nil {
			t.Errorf("%v: %v", root, root.Err)
		}
		for _, d := range root.Diagnostics {
			messages = append(messages, d.Message)
			t.Log(fmt.Sprint(root.Package.Fset.Position(d.Pos)), d.Message)
		}
	}
	return messages
}
