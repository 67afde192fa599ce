// Package vet finds wrong uses of go-libp2p-gorpc before a program runs: calls by
// name that fit no registered method, registrations that fail, types that lose
// something on the wire, and calls that are not ended. docs/vet.md lists the
// findings.
//
// [Analyzer] sees one package and what that imports, as go vet and golangci-lint
// run it. [Program] sees callers and registrations in packages that do not import
// each other; the command gorpcvet runs it.
package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/packages"
)

const doc = `find wrong uses of go-libp2p-gorpc

Calls by name are checked against what is registered or handled under that name,
receivers against what Register takes, types against what travels, and calls, streams
and contexts against how long they last.`

// Analyzer checks a package against what it and the packages that it imports
// register. It keeps what they register as facts.
var Analyzer = &analysis.Analyzer{
	Name: "gorpc", Doc: doc, URL: "https://" + library + "/blob/main/docs/vet.md",
	FactTypes: []analysis.Fact{(*Known)(nil)},
	Run: func(pass *analysis.Pass) (any, error) {
		if !uses(pass.Pkg) {
			return nil, nil
		}
		world := NewWorld(false)
		for _, f := range pass.AllPackageFacts() {
			world.add(f.Fact.(*Known))
		}
		u := newUnit(pass.Fset, pass.Files, pass.Pkg, pass.TypesInfo, world)
		known := u.collect()
		if !known.isEmpty() {
			pass.ExportPackageFact(known)
		}
		world.add(known)
		u.report = pass.Report
		u.check()
		return nil, nil
	},
}

// Options say what a [Program] finds.
type Options struct {
	External []string // services that other programs serve
	Typed    bool     // report calls by name that could be calls of typed methods, with the fix
	All      bool     // read packages that cannot see the library, too: for tests of the analyzer
}

// Program returns an analyzer for packages that were loaded together, in the order
// of what they import, which checks each against all. It needs no facts.
func Program(pkgs []*packages.Package, o Options) *analysis.Analyzer {
	world := NewWorld(true, o.External...)
	world.typed = o.Typed
	for _, p := range inOrder(pkgs) {
		if p.Types != nil && p.TypesInfo != nil && (o.All || uses(p.Types)) {
			world.add(newUnit(p.Fset, p.Syntax, p.Types, p.TypesInfo, world).collect())
		}
	}
	return &analysis.Analyzer{
		Name: Analyzer.Name, Doc: doc, URL: Analyzer.URL, RunDespiteErrors: true,
		Run: func(pass *analysis.Pass) (any, error) {
			if !o.All && !uses(pass.Pkg) {
				return nil, nil
			}
			u := newUnit(pass.Fset, pass.Files, pass.Pkg, pass.TypesInfo, world)
			u.report = pass.Report
			u.check()
			return nil, nil
		},
	}
}

// inOrder returns the packages, each after those of them that it imports.
func inOrder(pkgs []*packages.Package) (order []*packages.Package) {
	given := make(map[*packages.Package]bool)
	for _, p := range pkgs {
		given[p] = true
	}
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		if given[p] {
			order = append(order, p)
		}
	})
	return order
}

// check reports what is to be found in the package.
func (u *unit) check() {
	params := newParams(u)
	for _, f := range u.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				params.enter(n)
				u.checkFunction(n)
			case *ast.CallExpr:
				u.checkCall(n)
				u.checkRegistration(n, params)
				u.checkDeclaration(n)
				u.checkHandle(n)
				u.checkMock(n)
				u.checkAuthorizeMap(n)
				u.checkServing(n)
			case *ast.CompositeLit:
				u.checkPolicy(n)
			}
			return true
		})
	}
	u.declareTyped()
}

// checkFunction judges what a function does, in its own order.
func (u *unit) checkFunction(decl *ast.FuncDecl) {
	fn, _ := u.info.Defs[decl.Name].(*types.Func)
	if decl.Body == nil || fn == nil {
		return
	}
	outer := body{decl.Body, fn.Signature(), decl}
	if u.world.serving[fn.FullName()] {
		u.checkContext(outer)
	}
	bodies := []body{outer}
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			bodies = append(bodies, u.literal(n))
			ast.Inspect(n.Body, visit)
			bodies = bodies[:len(bodies)-1]
			return false
		case ast.Stmt:
			u.checkDropped(n, bodies[len(bodies)-1].sig)
			switch s := n.(type) {
			case *ast.AssignStmt:
				if len(s.Rhs) == 1 {
					if call, ok := ast.Unparen(s.Rhs[0]).(*ast.CallExpr); ok {
						u.checkOpened(outer, call, s)
					}
				}
			case *ast.ExprStmt:
				if call, ok := ast.Unparen(s.X).(*ast.CallExpr); ok {
					u.checkOpened(outer, call, s)
				}
			}
		case *ast.CallExpr:
			u.checkArguments(outer, n)
		}
		return true
	}
	ast.Inspect(decl.Body, visit)
}

// checkServing judges literals that are handed over to serve a method.
func (u *unit) checkServing(call *ast.CallExpr) {
	c, own := libraryCallee(calledFunc(u.info, call))
	if !own || len(call.Args) < 2 {
		return
	}
	if typedMethods[c.recv] && c.name == "Handle" || c.name == "RegisterFunc" && c.recv == "Server" || c.pkg == rpctest && c.name == "Handle" {
		if lit, ok := ast.Unparen(call.Args[len(call.Args)-1]).(*ast.FuncLit); ok {
			u.checkContext(u.literal(lit))
		}
	}
}
