package vet

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// unit is a package that is read.
type unit struct {
	fset   *token.FileSet
	files  []*ast.File
	pkg    *types.Package
	info   *types.Info
	world  *World
	types  *goTypes
	report func(analysis.Diagnostic)

	once       map[types.Object]ast.Expr // variables that are set where they are declared, and nowhere else
	set        map[types.Object]bool     // variables that are set elsewhere, too
	indexed    map[types.Object]bool     // variables of which an element is set
	ignored    map[string]map[int][]string
	migrations []*migration
	near       map[string]bool
	found      map[string]bool // what is told once for a place
}

// find reports a finding, unless a comment says to ignore it.
func (u *unit) find(at ast.Node, category, format string, args ...any) {
	u.findWith(at, category, nil, format, args...)
}

func (u *unit) findWith(at ast.Node, category string, fixes []analysis.SuggestedFix, format string, args ...any) {
	if u.isIgnored(at.Pos(), category) {
		return
	}
	if category == "leftout" || category == "travels" { // a receiver may be registered often
		key := fmt.Sprint(category, at.Pos())
		if u.found[key] {
			return
		}
		u.found[key] = true
	}
	u.report(analysis.Diagnostic{
		Pos: at.Pos(), End: at.End(), Category: category,
		Message: category + ": " + fmt.Sprintf(format, args...), SuggestedFixes: fixes,
	})
}

// ignoring is a comment that silences the findings of its line, or of the next if
// it stands alone: //gorpcvet:ignore category[,category] reason.
const ignoring = "//gorpcvet:ignore "

func (u *unit) isIgnored(pos token.Pos, category string) bool {
	if u.ignored == nil {
		u.ignored = make(map[string]map[int][]string)
		for _, f := range u.files {
			lines := make(map[int][]string)
			for _, group := range f.Comments {
				for _, c := range group.List {
					if rest, ok := strings.CutPrefix(c.Text, ignoring); ok {
						which, _, _ := strings.Cut(rest, " ")
						line := u.fset.Position(c.Pos()).Line
						lines[line] = append(lines[line], strings.Split(which, ",")...)
					}
				}
			}
			u.ignored[u.fset.Position(f.Pos()).Filename] = lines
		}
	}
	p := u.fset.Position(pos)
	lines := u.ignored[p.Filename]
	for _, c := range append(append([]string{}, lines[p.Line]...), lines[p.Line-1]...) {
		if c == category {
			return true
		}
	}
	return false
}

// ownPath is the path of the package, with its external tests.
func (u *unit) ownPath() string { return strings.TrimSuffix(u.pkg.Path(), "_test") }

func (u *unit) inTest(at ast.Node) bool {
	return strings.HasSuffix(u.fset.Position(at.Pos()).Filename, "_test.go")
}

func (u *unit) place(service string, at ast.Node) Place {
	return Place{service, u.ownPath(), u.inTest(at)}
}

// from is what the package sees of the world, from a place in it.
func (u *unit) from(at ast.Node) *view {
	return &view{u.world, u.ownPath(), u.imports(), u.inTest(at)}
}

// imports are the packages that the package imports, and those that they do.
func (u *unit) imports() map[string]bool {
	if u.near == nil {
		u.near = make(map[string]bool)
		var add func(p *types.Package)
		add = func(p *types.Package) {
			for _, q := range p.Imports() {
				if !u.near[q.Path()] {
					u.near[q.Path()] = true
					add(q)
				}
			}
		}
		add(u.pkg)
	}
	return u.near
}

// where is a place for people to read.
func (u *unit) where(at ast.Node) string {
	p := u.fset.Position(at.Pos())
	return fmt.Sprintf("%s:%d", filepath.Base(p.Filename), p.Line)
}

// values finds the variables that are set where they are declared only.
func (u *unit) values() {
	if u.once != nil {
		return
	}
	u.once = make(map[types.Object]ast.Expr)
	u.indexed = make(map[types.Object]bool)
	changed := make(map[types.Object]bool)
	set := func(id ast.Expr, value ast.Expr) {
		if x, ok := ast.Unparen(id).(*ast.IndexExpr); ok {
			if of, ok := ast.Unparen(x.X).(*ast.Ident); ok {
				u.indexed[u.info.ObjectOf(of)] = true
			}
		}
		ident, ok := ast.Unparen(id).(*ast.Ident)
		if !ok {
			return
		}
		if obj := u.info.Defs[ident]; obj != nil && value != nil {
			u.once[obj] = value
			return
		}
		changed[u.info.ObjectOf(ident)] = true
	}
	for _, f := range u.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if len(n.Lhs) == len(n.Rhs) && n.Tok == token.DEFINE {
						set(l, n.Rhs[i])
					} else {
						set(l, nil)
					}
				}
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if len(n.Names) == len(n.Values) {
						set(id, n.Values[i])
					}
				}
			case *ast.IncDecStmt:
				set(n.X, nil)
			case *ast.RangeStmt:
				set(n.Key, nil)
				set(n.Value, nil)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					set(n.X, nil)
				}
			}
			return true
		})
	}
	for obj := range changed {
		delete(u.once, obj)
	}
	u.set = changed
}

// resolved returns the expression that a variable was set to, where it is set once
// and in this package; or e.
func (u *unit) resolved(e ast.Expr) ast.Expr {
	u.values()
	for range 8 {
		e = ast.Unparen(e)
		id, ok := e.(*ast.Ident)
		if !ok {
			return e
		}
		obj := u.info.ObjectOf(id)
		v, ok := u.once[obj]
		if !ok || obj.Parent() == u.pkg.Scope() && obj.Exported() {
			return e
		}
		e = v
	}
	return e
}

// mostText bounds how much is read of an expression that is a text: names are short.
const mostText = 64

// text returns the string that an expression always is.
func (u *unit) text(e ast.Expr) (string, bool) {
	left := mostText
	return u.textOf(e, &left)
}

func (u *unit) textOf(e ast.Expr, left *int) (string, bool) {
	if *left--; *left < 0 {
		return "", false
	}
	if v := u.info.Types[e].Value; v != nil && v.Kind() == constant.String {
		return constant.StringVal(v), true
	}
	switch r := u.resolved(e).(type) {
	case *ast.BinaryExpr:
		a, oka := u.textOf(r.X, left)
		b, okb := u.textOf(r.Y, left)
		if !oka || !okb || r.Op != token.ADD {
			return "", false
		}
		return a + b, true
	case *ast.Ident:
		return "", false
	case *ast.CallExpr: // a conversion
		if len(r.Args) == 1 && u.info.Types[r.Fun].IsType() {
			return u.textOf(r.Args[0], left)
		}
	default:
		if v := u.info.Types[r].Value; v != nil && v.Kind() == constant.String {
			return constant.StringVal(v), true
		}
	}
	return "", false
}

// valueType returns the type of what an expression holds, and nil if that does not
// show.
func (u *unit) valueType(e ast.Expr) types.Type {
	t := u.info.TypeOf(e)
	if t != nil && types.IsInterface(t) {
		if call, ok := ast.Unparen(e).(*ast.CallExpr); ok && len(call.Args) == 1 && u.info.Types[call.Fun].IsType() {
			return u.valueType(call.Args[0]) // any(x)
		}
		t = u.info.TypeOf(u.resolved(e))
	}
	if t == nil || !shows(t) {
		return nil
	}
	return types.Default(t)
}

func (u *unit) isNil(e ast.Expr) bool { return u.info.Types[ast.Unparen(e)].IsNil() }

func newUnit(fset *token.FileSet, files []*ast.File, pkg *types.Package, info *types.Info, world *World) *unit {
	u := &unit{fset: fset, files: files, pkg: pkg, info: info, world: world, types: &goTypes{forms: world.forms}, found: make(map[string]bool)}
	for path := range u.imports() {
		if unvendored(path) == library+"/"+protorpc {
			world.forms["ProtoReflect"] = true
		}
	}
	return u
}
