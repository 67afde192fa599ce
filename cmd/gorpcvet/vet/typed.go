package vet

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/ast/astutil"
)

// migration is a call by name that can become one of a typed method.
type migration struct {
	site       *site
	file       *ast.File
	path       []ast.Node // from the call outwards
	arg, reply types.Type
}

// migrate notes a call by name, to be reported when all are known.
func (s *site) migrate(fit []*Method) {
	sel, ok := ast.Unparen(s.call.Fun).(*ast.SelectorExpr)
	c, own := libraryCallee(calledFunc(s.info, s.call))
	if !ok || !own || s.call.Ellipsis.IsValid() {
		return
	}
	m := &migration{site: s, file: s.fileOf(s.call)}
	client, _ := libraryType(s.info.TypeOf(sel.X))
	arg, reply := s.valueType(s.call.Args[s.form.Args]), s.valueType(s.call.Args[s.form.Reply])
	if (c.name == "Call" || c.name == "CallContext") && client == "Client" && arg != nil && reply != nil && m.file != nil {
		m.arg, m.reply = target(arg), target(reply)
		same := func(f *Method) bool {
			return strings.TrimPrefix(f.Arg, "*") == full(m.arg) && strings.TrimPrefix(f.Reply, "*") == full(m.reply)
		}
		if slices.ContainsFunc(fit, same) {
			m.path, _ = astutil.PathEnclosingInterval(m.file, s.call.Pos(), s.call.End())
		}
	}
	s.unit.migrations = append(s.unit.migrations, m)
}

func (u *unit) fileOf(n ast.Node) *ast.File {
	for _, f := range u.files {
		if f.FileStart <= n.Pos() && n.Pos() < f.FileEnd {
			return f
		}
	}
	return nil
}

// declareTyped reports the calls by name, with what makes typed ones of them.
func (u *unit) declareTyped() {
	home := u.home()
	hoisted := make(map[*ast.BlockStmt]bool)
	for _, m := range u.migrations {
		s := m.site
		var fixes []analysis.SuggestedFix
		if edits := m.edits(home, hoisted); edits != nil {
			fixes = []analysis.SuggestedFix{{Message: "call the typed method", TextEdits: edits}}
		}
		mend := "-fix declares it and calls it"
		if fixes == nil {
			mend = "by hand, as docs/migrating.md says"
		}
		u.findWith(s.call, "typed", fixes, "%s is called by name: as a typed method the compiler checks it: %s", s.id(), mend)
	}
}

// home is the file in which the typed methods of the package are declared: the
// first that calls one, and no test if there is another.
func (u *unit) home() (home *ast.File) {
	isTest := func(f *ast.File) bool { return strings.HasSuffix(u.fset.Position(f.Pos()).Filename, "_test.go") }
	for _, f := range u.files {
		calls := slices.ContainsFunc(u.migrations, func(m *migration) bool { return m.file == f && m.path != nil })
		if calls && (home == nil || isTest(home) && !isTest(f)) {
			home = f
		}
	}
	return home
}

// edits are what makes a typed call of a call by name, and nil where that is not
// mechanical.
func (m *migration) edits(home *ast.File, hoisted map[*ast.BlockStmt]bool) []analysis.TextEdit {
	if len(m.path) < 3 || home == nil {
		return nil
	}
	method, declares := m.method(home)
	call, ok1 := m.callText(method)
	reply, ok2 := m.replyText()
	if method == "" || !ok1 || !ok2 {
		return nil
	}
	edits := m.rewrite(reply, call, hoisted)
	if edits == nil {
		return nil
	}
	if m.site.form.Ctx == none {
		edits = append(edits, m.imports(m.file, "context")...)
	}
	return append(edits, declares...)
}

// method returns how the typed method is named at the call, and what declares it.
func (m *migration) method(home *ast.File) (name string, edits []analysis.TextEdit) {
	s := m.site
	for _, d := range s.from(s.call).find(s.service, s.method) {
		if d.Declared == "" || d.Declared == "-" || d.Arg != full(m.arg) || d.Reply != full(m.reply) {
			continue
		}
		path, name, _ := cutLast(d.Declared, ".")
		if path == s.pkg.Path() {
			return name, nil
		}
		if local := importName(m.file, path); local != "" && token.IsExported(name) {
			return local + "." + name, nil
		}
	}
	name = m.variable()
	arg, edits1, ok1 := m.typeText(home, m.arg)
	reply, edits2, ok2 := m.typeText(home, m.reply)
	if name == "" || !ok1 || !ok2 {
		return "", nil
	}
	rpc := importName(home, library)
	if rpc == "" {
		rpc = "rpc"
		edits = append(edits, importEdit(home, importSpec(rpc, library)))
	}
	text := fmt.Sprintf("\nvar %s = %s.NewMethod[%s, %s](%q, %q)\n", name, rpc, arg, reply, s.service, s.method)
	edits = append(append(append(edits, edits1...), edits2...), analysis.TextEdit{Pos: home.FileEnd, End: home.FileEnd, NewText: []byte(text)})
	return name, edits
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// variable names the typed method after the service and the method.
func (m *migration) variable() string {
	s := m.site
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s.service)
	if letters == "" || !unicode.IsLetter(rune(letters[0])) {
		letters = "service" + letters
	}
	n := 0
	for n < len(letters) && unicode.IsUpper(rune(letters[n])) {
		n++
	}
	if n > 1 && n < len(letters) {
		n-- // an acronym ends where the next word begins
	}
	name := strings.ToLower(letters[:n]) + letters[n:] + s.method
	scope := s.pkg.Scope().Innermost(s.call.Pos())
	if scope == nil {
		return ""
	}
	if _, obj := scope.LookupParent(name, token.NoPos); obj != nil {
		return ""
	}
	return name
}

// typeText writes a type as a file may name it.
func (m *migration) typeText(f *ast.File, t types.Type) (text string, edits []analysis.TextEdit, ok bool) {
	ok = true
	text = types.TypeString(t, func(p *types.Package) string {
		if p == m.site.pkg {
			return ""
		}
		if name := importName(f, p.Path()); name != "" {
			return name
		}
		if strings.Contains("/"+p.Path()+"/", "/internal/") || p.Name() == "main" {
			ok = false
		}
		edits = append(edits, importEdit(f, importSpec(p.Name(), p.Path())))
		return p.Name()
	})
	return text, edits, ok && m.visible(t, 0)
}

// visible reports whether all that a type names is exported, or of the package.
func (m *migration) visible(t types.Type, depth int) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if p := t.Obj().Pkg(); p != nil && (p != m.site.pkg && !t.Obj().Exported() || p == m.site.pkg && t.Obj().Parent() != p.Scope()) {
			return false
		}
		for i := range t.TypeArgs().Len() {
			if !m.visible(t.TypeArgs().At(i), depth+1) {
				return false
			}
		}
		return true
	case *types.Map:
		return m.visible(t.Key(), depth+1) && m.visible(t.Elem(), depth+1)
	case interface{ Elem() types.Type }:
		return depth < 10 && m.visible(t.Elem(), depth+1)
	case *types.Basic:
		return true
	case *types.Struct:
		return t.NumFields() == 0
	}
	return false
}

func (m *migration) imports(f *ast.File, path string) []analysis.TextEdit {
	if importName(f, path) != "" {
		return nil
	}
	return []analysis.TextEdit{importEdit(f, importSpec(path, path))}
}

// importName returns the name under which a file imports a package.
func importName(f *ast.File, path string) string {
	for _, spec := range f.Imports {
		if strings.Trim(spec.Path.Value, `"`) != path {
			continue
		}
		switch {
		case spec.Name == nil && path == library:
			return "rpc"
		case spec.Name == nil:
			return lastPart(path)
		case spec.Name.Name != "_" && spec.Name.Name != ".":
			return spec.Name.Name
		}
	}
	return ""
}

// lastPart is mostly the name of a package; a fix that guesses wrong does not
// compile, and is not made.
func lastPart(path string) string {
	last := path[strings.LastIndex(path, "/")+1:]
	last, _, _ = strings.Cut(last, ".")
	return strings.TrimPrefix(last, "go-")
}

func importEdit(f *ast.File, spec string) analysis.TextEdit {
	at, text := f.Name.End(), "\nimport "+spec+"\n"
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			at = g.End()
			if g.Lparen.IsValid() {
				at, text = g.Lparen+1, "\n"+spec
				break
			}
		}
	}
	return analysis.TextEdit{Pos: at, End: at, NewText: []byte(text)}
}

// importSpec imports a package under its name.
func importSpec(name, path string) string {
	if name == path || strings.HasSuffix(path, "/"+name) {
		return strconv.Quote(path)
	}
	return name + " " + strconv.Quote(path)
}

func (u *unit) source(n ast.Node) string {
	var b bytes.Buffer
	if format.Node(&b, u.fset, n) != nil {
		return ""
	}
	return b.String()
}
