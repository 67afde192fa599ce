package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

// What the command ends with.
const (
	exitClean  = 0
	exitFailed = 1
	exitFound  = 3
)

// run is one run of the command.
type run struct {
	options  vet.Options
	patterns []string
	dir      string   // empty for the current one
	env      []string // nil for the process's own
	fix      bool
	tests    bool
	json     bool
	out      io.Writer
}

func (r *run) main() int {
	graph, err := r.analyze(nil)
	if err != nil {
		fmt.Fprintln(r.out, "gorpcvet:", err)
		return exitFailed
	}
	if r.fix {
		changed, err := r.applyFixes(graph)
		if err != nil {
			fmt.Fprintln(r.out, "gorpcvet:", err)
			return exitFailed
		}
		if changed {
			r.fix = false
			return r.main()
		}
	}
	if r.json {
		if graph.PrintJSON(os.Stdout) != nil {
			return exitFailed
		}
		return exitClean
	}
	if graph.PrintText(r.out, -1) != nil {
		return exitFailed
	}
	for _, root := range graph.Roots {
		if root.Err != nil {
			return exitFailed
		}
		if len(root.Diagnostics) > 0 {
			return exitFound
		}
	}
	return exitClean
}

// analyze loads the packages, with some files replaced, and runs the analyzer on
// them.
func (r *run) analyze(overlay map[string][]byte) (*checker.Graph, error) {
	pkgs, others, err := r.load(overlay)
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(pkgs) > 0 {
		return nil, fmt.Errorf("the packages do not compile: mend that first")
	}
	return checker.Analyze([]*analysis.Analyzer{vet.Program(slices.Concat(others, pkgs), r.options)}, pkgs, nil)
}
