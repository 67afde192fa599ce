package main

import (
	"cmp"
	"fmt"
	"go/format"
	"maps"
	"os"
	"slices"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// edit is a change of a file, by offsets.
type edit struct {
	from, to int
	text     string
}

// fileEdits are the changes of files, by name.
type fileEdits map[string][]edit

// applyFixes makes the changes that are suggested: those of a finding all or none,
// and of two that overlap the first. It writes nothing of a package that would then
// not compile, and says so. It reports whether it has changed a file.
func (r *run) applyFixes(graph *checker.Graph) (changed bool, err error) {
	all := make(fileEdits)
	for _, root := range graph.Roots {
		for _, d := range root.Diagnostics {
			if len(d.SuggestedFixes) > 0 {
				all.add(root.Package, d.SuggestedFixes[0])
			}
		}
	}
	overlay := make(map[string][]byte)
	for name, edits := range all {
		if overlay[name], err = applied(name, edits); err != nil {
			return false, err
		}
	}
	if len(overlay) == 0 {
		return false, nil
	}
	pkgs, _, err := r.load(overlay)
	if err != nil {
		return false, err
	}
	for _, p := range pkgs {
		for _, problem := range p.Errors {
			fmt.Fprintf(r.out, "gorpcvet: not fixed, for it would not compile: %v\n", problem)
			for _, f := range p.GoFiles {
				delete(overlay, f)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(overlay)) {
		if err := os.WriteFile(name, overlay[name], 0o644); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// add adds the changes of a fix, unless one overlaps another. The same insertion of
// two fixes, such as an import, is made once.
func (all fileEdits) add(p *packages.Package, fix analysis.SuggestedFix) {
	own := make(fileEdits)
	for _, e := range fix.TextEdits {
		from := p.Fset.PositionFor(e.Pos, false) // of the file that was read, whatever its //line comments say
		to := from
		if e.End.IsValid() {
			to = p.Fset.PositionFor(e.End, false)
		}
		if !slices.Contains(p.GoFiles, from.Filename) { // made of another, as by cgo
			return
		}
		n := edit{from.Offset, to.Offset, string(e.NewText)}
		if slices.Contains(all[from.Filename], n) || slices.Contains(own[from.Filename], n) {
			continue
		}
		if slices.ContainsFunc(all[from.Filename], n.overlaps) {
			return
		}
		own[from.Filename] = append(own[from.Filename], n)
	}
	for name, edits := range own {
		all[name] = append(all[name], edits...)
	}
}

// overlaps reports whether both change the same text. Insertions at one place do
// not: they follow one another.
func (e edit) overlaps(o edit) bool {
	return e.from < o.to && o.from < e.to
}

// applied returns the text of a file after the changes, formatted.
func applied(name string, edits []edit) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var out []byte
	last := 0
	for _, e := range edits {
		out = append(append(out, text[last:e.from]...), e.text...)
		last = e.to
	}
	out, err = format.Source(append(out, text[last:]...))
	if err != nil {
		return nil, fmt.Errorf("fixing %s: %w", name, err)
	}
	return out, nil
}
