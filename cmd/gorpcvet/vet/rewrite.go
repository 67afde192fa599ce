package vet

import (
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/analysis"
)

// callText is the typed call.
func (m *migration) callText(method string) (string, bool) {
	s := m.site
	sel := ast.Unparen(s.call.Fun).(*ast.SelectorExpr)
	client := s.source(sel.X)
	if _, ok := s.info.TypeOf(sel.X).Underlying().(*types.Pointer); !ok {
		client = "&" + client
	}
	ctx := "context.Background()"
	if s.form.Ctx != none {
		ctx = s.source(s.call.Args[s.form.Ctx])
	}
	arg, ok := m.value(s.call.Args[s.form.Args])
	if !ok {
		return "", false
	}
	return method + ".Call(" + ctx + ", " + client + ", " + s.source(s.call.Args[s.form.Dest]) + ", " + arg + ")", true
}

// value writes an expression, or what it points to.
func (m *migration) value(e ast.Expr) (string, bool) {
	s := m.site
	t := s.info.TypeOf(e)
	if types.IsInterface(t) {
		return "", false
	}
	if _, ok := t.Underlying().(*types.Pointer); !ok {
		return s.source(e), true
	}
	if a, ok := ast.Unparen(e).(*ast.UnaryExpr); ok && a.Op == token.AND {
		return s.source(a.X), true
	}
	switch ast.Unparen(e).(type) {
	case *ast.Ident, *ast.SelectorExpr:
		return "*" + s.source(e), true
	}
	return "", false
}

// replyText is what the reply is assigned to.
func (m *migration) replyText() (string, bool) {
	s := m.site
	e := ast.Unparen(s.call.Args[s.form.Reply])
	if a, ok := e.(*ast.UnaryExpr); ok && a.Op == token.AND {
		if _, lit := ast.Unparen(a.X).(*ast.CompositeLit); lit {
			return "_", true
		}
	}
	if c, ok := e.(*ast.CallExpr); ok && s.isBuiltin(c, "new") {
		return "_", true
	}
	return m.value(e)
}

// rewrite changes the statement of the call. The reply's variable stays as it is;
// the error is declared before it where a new one would shadow the reply.
func (m *migration) rewrite(reply, call string, hoisted map[*ast.BlockStmt]bool) []analysis.TextEdit {
	old := m.site.call
	replace := func(from, to token.Pos, text string) []analysis.TextEdit {
		return []analysis.TextEdit{{Pos: from, End: to, NewText: []byte(text)}}
	}
	switch p := m.path[1].(type) {
	case *ast.ExprStmt:
		return replace(old.Pos(), old.End(), reply+", _ = "+call)
	case *ast.ReturnStmt:
		if len(p.Results) != 1 || m.block(2) == nil {
			return nil
		}
		if reply == "_" {
			return replace(p.Pos(), p.End(), "_, err := "+call+"\nreturn err")
		}
		return replace(p.Pos(), p.End(), m.errorBefore(2, hoisted, "err")+reply+", err = "+call+"\nreturn err")
	case *ast.AssignStmt:
		id, ok := p.Lhs[0].(*ast.Ident)
		if !ok || len(p.Lhs) != 1 {
			return nil
		}
		if p.Tok == token.ASSIGN || reply == "_" {
			return replace(p.Pos(), p.End(), reply+", "+id.Name+" "+p.Tok.String()+" "+call)
		}
		if m.block(2) != nil {
			return replace(p.Pos(), p.End(), "var "+id.Name+" error\n"+reply+", "+id.Name+" = "+call)
		}
		if in, ok := m.path[2].(*ast.IfStmt); ok && in.Init == ast.Stmt(p) && m.block(3) != nil && m.free(id, 3) {
			edits := replace(p.Pos(), p.End(), reply+", "+id.Name+" = "+call)
			if declare := m.errorBefore(3, hoisted, id.Name); declare != "" {
				edits = append(edits, analysis.TextEdit{Pos: in.Pos(), End: in.Pos(), NewText: []byte(declare)})
			}
			return edits
		}
	}
	return nil
}

// block returns the block that is at a place of the path, if there is one.
func (m *migration) block(at int) *ast.BlockStmt {
	if at >= len(m.path) {
		return nil
	}
	b, _ := m.path[at].(*ast.BlockStmt)
	return b
}

// free reports whether a variable of that name may be declared in the block: the
// block has none, and does not use one of a block around it afterwards.
func (m *migration) free(id *ast.Ident, at int) bool {
	s := m.site
	scope := s.blockScope(m.path, at)
	if scope == nil {
		return false
	}
	if scope.Lookup(id.Name) != nil {
		obj := scope.Lookup(id.Name)
		return obj.Pos() < id.Pos() && isError(obj.Type())
	}
	_, outer := scope.LookupParent(id.Name, token.NoPos)
	if outer == nil {
		return true
	}
	used := false
	ast.Inspect(m.path[at], func(n ast.Node) bool {
		if other, ok := n.(*ast.Ident); ok && other.Pos() > id.Pos() && s.info.Uses[other] == outer {
			used = true
		}
		return !used
	})
	return !used
}

// errorBefore is the declaration of an error in a block that has none yet.
func (m *migration) errorBefore(at int, hoisted map[*ast.BlockStmt]bool, name string) string {
	b := m.block(at)
	scope := m.site.blockScope(m.path, at)
	if hoisted[b] {
		return ""
	}
	if scope != nil {
		if obj := scope.Lookup(name); obj != nil && obj.Pos() < m.site.call.Pos() && isError(obj.Type()) {
			return ""
		}
	}
	hoisted[b] = true
	return "var " + name + " error\n"
}

// blockScope returns the scope of a block, which is the function's for its body.
func (u *unit) blockScope(path []ast.Node, at int) *types.Scope {
	if s := u.info.Scopes[path[at]]; s != nil {
		return s
	}
	if at+1 < len(path) {
		switch f := path[at+1].(type) {
		case *ast.FuncDecl:
			return u.info.Scopes[f.Type]
		case *ast.FuncLit:
			return u.info.Scopes[f.Type]
		}
	}
	return nil
}
