package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/packages"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

// loader reads the sources of the packages, and of what they import the types that
// the compiler has written. [packages.LoadSyntax] would compile the packages
// themselves, too, which takes longer than all the rest.
type loader struct {
	*run
	overlay  map[string][]byte
	fset     *token.FileSet
	sources  map[*packages.Package]*sync.Once // that are read
	compiled map[string]*types.Package        // that are not, by their paths
	reading  chan struct{}                    // bounds how many are read at once
}

// load loads the packages, of each the variant with its tests, with some files
// replaced. They have what [packages.LoadSyntax] gives them, and so have the others that
// they import and that use the library themselves: those may register what is called.
func (r *run) load(overlay map[string][]byte) (asked, others []*packages.Package, err error) {
	listed, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
			packages.NeedModule | packages.NeedTypesSizes,
		Dir: r.dir, Env: r.env, Tests: r.tests, Overlay: overlay,
	}, r.patterns...)
	if err != nil {
		return nil, nil, err
	}
	asked = withTests(listed)
	if len(asked) == 0 {
		return nil, nil, fmt.Errorf("no packages match %s", strings.Join(r.patterns, " "))
	}
	l := &loader{
		run: r, overlay: overlay, fset: token.NewFileSet(), sources: make(map[*packages.Package]*sync.Once),
		compiled: make(map[string]*types.Package), reading: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	others, err = l.choose(listed)
	if err != nil {
		return nil, nil, err
	}
	var all sync.WaitGroup
	for _, p := range slices.Concat(asked, others) {
		all.Go(func() { l.read(p) })
	}
	all.Wait()
	return asked, others, nil
}

// withTests leaves out packages of which there is a variant with tests, and the
// programs that run tests.
func withTests(pkgs []*packages.Package) (once []*packages.Package) {
	tested := make(map[string]bool)
	for _, p := range pkgs {
		if path, _, variant := strings.Cut(p.ID, " ["); variant && path == p.PkgPath {
			tested[p.PkgPath] = true
		}
	}
	for _, p := range pkgs {
		if !(tested[p.PkgPath] && p.ID == p.PkgPath) && !strings.HasSuffix(p.PkgPath, ".test") {
			once = append(once, p)
		}
	}
	return once
}

// choose says which packages are read: those that were asked for, what tests make
// variants of, what uses the library, and what imports one that is read, so that each
// type is there once. It returns those that nobody asked for. Of the others that they
// import it loads the types.
func (l *loader) choose(listed []*packages.Package) (more []*packages.Package, err error) {
	for _, p := range listed {
		l.sources[p] = new(sync.Once)
	}
	packages.Visit(listed, nil, func(p *packages.Package) {
		if l.sources[p] != nil {
			return
		}
		read, variant := false, strings.Contains(p.ID, " [")
		for _, q := range p.Imports {
			read = read || l.sources[q] != nil || vet.IsLibrary(q.PkgPath)
		}
		if read || variant {
			l.sources[p] = new(sync.Once)
		}
		if read && !variant {
			more = append(more, p)
		}
	})
	others := make(map[string]bool)
	for p := range l.sources {
		for _, q := range p.Imports {
			if l.sources[q] == nil && q.PkgPath != "unsafe" {
				others[q.PkgPath] = true
			}
		}
	}
	l.compiled["unsafe"] = types.Unsafe
	if len(others) == 0 {
		return more, nil
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadTypes, Dir: l.dir, Env: l.env, Fset: l.fset}, slices.Sorted(maps.Keys(others))...)
	for _, p := range pkgs {
		l.compiled[p.PkgPath] = p.Types
	}
	return more, err
}

// read parses and checks a package, after those that it imports.
func (l *loader) read(p *packages.Package) {
	l.sources[p].Do(func() {
		known := make(map[string]*types.Package)
		for path, q := range p.Imports {
			if l.sources[q] != nil {
				l.read(q)
				known[path] = q.Types
			} else {
				known[path] = l.compiled[q.PkgPath]
			}
		}
		l.reading <- struct{}{}
		defer func() { <-l.reading }()
		l.check(p, known)
	})
}

func (l *loader) check(p *packages.Package, known imports) {
	failed := func(err error) { p.Errors = append(p.Errors, errorsOf(err)...) }
	p.Fset = l.fset
	for _, name := range p.CompiledGoFiles {
		text, ok := l.overlay[name]
		if !ok {
			var err error
			if text, err = os.ReadFile(name); err != nil {
				failed(err)
				continue
			}
		}
		f, err := parser.ParseFile(l.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			failed(err)
		}
		if f != nil {
			p.Syntax = append(p.Syntax, f)
		}
	}
	p.TypesInfo = &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object),
		Implicits: make(map[ast.Node]types.Object), Instances: make(map[*ast.Ident]types.Instance), Scopes: make(map[ast.Node]*types.Scope),
		Selections: make(map[*ast.SelectorExpr]*types.Selection), FileVersions: make(map[*ast.File]string),
	}
	config := types.Config{Importer: known, Error: failed, Sizes: p.TypesSizes, GoVersion: goVersion(p)}
	p.Types, _ = config.Check(p.PkgPath, l.fset, p.Syntax, p.TypesInfo)
}

func goVersion(p *packages.Package) string {
	if p.Module == nil || p.Module.GoVersion == "" {
		return ""
	}
	return "go" + p.Module.GoVersion
}

// errorsOf gives an error its place.
func errorsOf(err error) (all []packages.Error) {
	switch err := err.(type) {
	case types.Error:
		return []packages.Error{{Pos: err.Fset.Position(err.Pos).String(), Msg: err.Msg, Kind: packages.TypeError}}
	case scanner.ErrorList:
		for _, e := range err {
			all = append(all, packages.Error{Pos: e.Pos.String(), Msg: e.Msg, Kind: packages.ParseError})
		}
		return all
	}
	return []packages.Error{{Pos: "-", Msg: err.Error(), Kind: packages.UnknownError}}
}

// imports are the packages that a package imports, by the paths in its sources.
type imports map[string]*types.Package

// Import makes it a [types.Importer].
func (known imports) Import(path string) (*types.Package, error) {
	if p := known[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no package %s", path)
}
