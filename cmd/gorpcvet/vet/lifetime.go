package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
)

// checkContext reports goroutines that a method starts with its context, and does
// not wait for: the context ends when the method returns.
func (u *unit) checkContext(b body) {
	if b.sig == nil || b.sig.Params().Len() == 0 || !isContext(b.sig.Params().At(0).Type()) {
		return
	}
	contexts := u.derived(b, b.sig.Params().At(0))
	ast.Inspect(b.block, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.GoStmt:
			if used := u.usedIn(n, contexts); used != nil && !u.waits(b, n) {
				u.find(used, "context", "the method returns while this goroutine uses its %s, which ends with the call: wait for the goroutine, or give it context.WithoutCancel(%s)",
					used.Name, used.Name)
			}
			return false
		}
		return true
	})
}

// derived returns the context, and those that a body makes of it and that end with
// it.
func (u *unit) derived(b body, ctx types.Object) map[types.Object]bool {
	all := map[types.Object]bool{ctx: true}
	ast.Inspect(b.block, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Rhs) != 1 {
			return true
		}
		to, okTo := a.Lhs[0].(*ast.Ident)
		call, isCall := ast.Unparen(a.Rhs[0]).(*ast.CallExpr)
		if !okTo || !isCall {
			return true
		}
		if u.detached(call) {
			delete(all, u.info.ObjectOf(to)) // also where ctx itself is set
			return true
		}
		if u.contextFunc(call) == "" || len(call.Args) == 0 {
			return true
		}
		if id, ok := ast.Unparen(call.Args[0]).(*ast.Ident); ok && all[u.info.ObjectOf(id)] {
			all[u.info.ObjectOf(to)] = true
		}
		return true
	})
	return all
}

// contextFunc returns the name of the function of package context that a call calls.
func (u *unit) contextFunc(call *ast.CallExpr) string {
	f := calledFunc(u.info, call)
	if f == nil || f.Pkg() == nil || f.Pkg().Path() != "context" || f.Signature().Recv() != nil {
		return ""
	}
	return f.Name()
}

// detached reports whether a call makes a context that ends with no other, or one of
// such a context.
func (u *unit) detached(call *ast.CallExpr) bool {
	switch u.contextFunc(call) {
	case "":
		return false
	case "Background", "TODO", "WithoutCancel":
		return true
	}
	if len(call.Args) == 0 {
		return false
	}
	of, ok := ast.Unparen(call.Args[0]).(*ast.CallExpr)
	return ok && u.detached(of)
}

// usedIn returns the first use of one of the objects in a node, unless all that is
// done with it is to detach it, to wait for its end, or to read what stays of it.
func (u *unit) usedIn(n ast.Node, objs map[types.Object]bool) (used *ast.Ident) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if u.contextFunc(call) == "WithoutCancel" {
				return false
			}
			if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && isContext(u.typeOf(sel.X)) {
				return false // Done, Err, Value or Deadline
			}
		}
		if id, ok := n.(*ast.Ident); ok && used == nil && objs[u.info.Uses[id]] {
			used = id
		}
		return used == nil
	})
	return used
}

// waits reports whether a body waits for something, or may: then it is taken to wait
// for the goroutine. It may where it hands a channel to another function, and where a
// function of the package that it calls waits.
func (u *unit) waits(b body, besides *ast.GoStmt) bool {
	return u.waitsIn(b.block, besides, 0)
}

func (u *unit) waitsIn(block *ast.BlockStmt, besides *ast.GoStmt, depth int) (found bool) {
	const deepest = 3
	ast.Inspect(block, func(n ast.Node) bool {
		if n == ast.Node(besides) {
			return false
		}
		switch n := n.(type) {
		case *ast.GoStmt:
			return false
		case *ast.UnaryExpr:
			found = found || n.Op == token.ARROW
		case *ast.SelectStmt:
			found = true
		case *ast.RangeStmt:
			if t := u.info.TypeOf(n.X); t != nil {
				_, isChan := t.Underlying().(*types.Chan)
				found = found || isChan
			}
		case *ast.CallExpr:
			if sel, ok := ast.Unparen(n.Fun).(*ast.SelectorExpr); ok && sel.Sel.Name == "Wait" {
				found = true
			}
			if f := calledFunc(u.info, n); f != nil && depth < deepest {
				decl := u.declOf(f)
				found = found || decl != nil && decl.Body != nil && u.waitsIn(decl.Body, besides, depth+1)
				found = found || slices.ContainsFunc(n.Args, u.isLocalChannel)
			}
		}
		return !found
	})
	return found
}

// isLocalChannel reports whether an expression is a channel that a function has made.
func (u *unit) isLocalChannel(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return false
	}
	obj, ok := u.info.Uses[id].(*types.Var)
	if !ok {
		return false
	}
	c, ok := obj.Type().Underlying().(*types.Chan)
	return ok && c.Dir() == types.SendRecv
}

func (u *unit) typeOf(e ast.Expr) types.Type {
	if t := u.info.TypeOf(e); t != nil {
		return t
	}
	return types.Typ[types.Invalid]
}

// checkArguments reports channels of arguments that are not closed on some path:
// the call, or the goroutine that drains them, then goes on for ever.
func (u *unit) checkArguments(outer body, call *ast.CallExpr) {
	form, ok := u.formOf(call)
	if !ok || form.Register || !form.Streaming || form.Args == none || form.Args >= len(call.Args) {
		return
	}
	id, ok := ast.Unparen(call.Args[form.Args]).(*ast.Ident)
	if !ok {
		return
	}
	obj, _ := u.info.Uses[id].(*types.Var)
	if obj == nil || !within(outer.block, obj.Pos()) {
		return
	}
	u.values()
	if made, ok := ast.Unparen(u.once[obj]).(*ast.CallExpr); !ok || !u.isBuiltin(made, "make") {
		return // a parameter, or one of several: others close it
	}
	var closes []*ast.CallExpr
	for _, use := range u.usesOf(outer, obj) {
		if use == id {
			continue
		}
		nodes := around(outer, use.Pos())
		switch parent := nodes[len(nodes)-2].(type) {
		case *ast.CallExpr:
			if !u.isBuiltin(parent, "close") {
				if u.isBuiltin(parent, "len") || u.isBuiltin(parent, "cap") {
					continue
				}
				return // another function may close it
			}
			closes = append(closes, parent)
		case *ast.SendStmt:
			if parent.Chan != ast.Expr(use) {
				return
			}
		case *ast.UnaryExpr:
			if parent.Op != token.ARROW {
				return
			}
		default:
			return // it goes elsewhere
		}
	}
	const advice = "close it on every way out, with defer in the goroutine that sends"
	if len(closes) == 0 {
		u.find(call.Args[form.Args], "openargs", "the arguments channel %s is never closed, and the call goes on until its context ends: %s", id.Name, advice)
		return
	}
	if at, found := u.unclosed(outer, call, closes); found {
		u.find(call.Args[form.Args], "openargs", "the arguments channel %s is not closed on the way out at line %d: %s", id.Name, u.fset.Position(at).Line, advice)
	}
}

// unclosed returns a way out of the function that closes the channel, by which it
// does not.
func (u *unit) unclosed(outer body, stream *ast.CallExpr, closes []*ast.CallExpr) (token.Pos, bool) {
	in := u.innermost(outer, closes[0].Pos())
	for _, c := range closes {
		if u.innermost(outer, c.Pos()).block != in.block {
			return token.NoPos, false // several close it: which does, does not show
		}
		for _, n := range around(in, c.Pos()) {
			if _, deferred := n.(*ast.DeferStmt); deferred {
				return token.NoPos, false
			}
		}
	}
	if lit, ok := in.node.(*ast.FuncLit); ok {
		for _, n := range around(outer, lit.Pos()) {
			if d, deferred := n.(*ast.DeferStmt); deferred && ast.Unparen(d.Call.Fun) == ast.Expr(lit) {
				return token.NoPos, false
			}
		}
	}
	var begins func(ast.Node) bool
	if within(in.block, stream.Pos()) {
		begins = func(n ast.Node) bool { return within(n, stream.Pos()) }
	}
	return u.escapes(in, begins, func(n ast.Node) bool {
		return slices.ContainsFunc(closes, func(c *ast.CallExpr) bool { return within(n, c.Pos()) })
	})
}

// checkOpened reports a typed stream that is not closed on some path.
func (u *unit) checkOpened(outer body, call *ast.CallExpr, stmt ast.Node) {
	c, own := libraryCallee(calledFunc(u.info, call))
	if !own || c.pkg != "" || !typedMethods[c.recv] || !openers[c.name] {
		return
	}
	of, _ := libraryType(u.info.TypeOf(call))
	ends := enders[of]
	if ends == nil {
		return
	}
	const told = "the stream is not closed%s, and holds its call until the context ends: defer its Close"
	if _, dropped := stmt.(*ast.ExprStmt); dropped {
		u.find(call, "openstream", told, "")
		return
	}
	a, ok := stmt.(*ast.AssignStmt)
	if !ok || len(a.Lhs) != 1 || ast.Unparen(a.Rhs[0]) != ast.Expr(call) {
		return
	}
	id, ok := a.Lhs[0].(*ast.Ident)
	if !ok {
		return
	}
	if id.Name == "_" {
		u.find(call, "openstream", told, "")
		return
	}
	obj := u.info.ObjectOf(id)
	in := u.innermost(outer, a.Pos())
	if u.cancelled(outer, call) {
		return
	}
	if obj == nil || !within(in.block, obj.Pos()) {
		return
	}
	u.checkEnds(in, a, obj, ends, told)
}

// cancelled reports whether the context of a call is one of the function's own, of which
// it defers the cancel.
func (u *unit) cancelled(b body, call *ast.CallExpr) (found bool) {
	if len(call.Args) == 0 {
		return false
	}
	ctx, ok := ast.Unparen(call.Args[0]).(*ast.Ident)
	if !ok {
		return false
	}
	cancels := make(map[types.Object]bool)
	ast.Inspect(b.block, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if made, ok := n.Rhs[0].(*ast.CallExpr); ok && len(n.Lhs) == 2 && u.contextFunc(made) != "" {
				to, ok1 := n.Lhs[0].(*ast.Ident)
				cancel, ok2 := n.Lhs[1].(*ast.Ident)
				if ok1 && ok2 && u.info.ObjectOf(to) == u.info.ObjectOf(ctx) {
					cancels[u.info.ObjectOf(cancel)] = true
				}
			}
		case *ast.DeferStmt:
			id, ok := ast.Unparen(n.Call.Fun).(*ast.Ident)
			found = found || ok && cancels[u.info.ObjectOf(id)]
		}
		return !found
	})
	return found
}

func (u *unit) checkEnds(in body, opened *ast.AssignStmt, obj types.Object, ends map[string]bool, told string) {
	var closing []token.Pos
	for _, use := range u.usesOf(in, obj) {
		nodes := around(in, use.Pos())
		sel, ok := nodes[len(nodes)-2].(*ast.SelectorExpr)
		if !ok || sel.X != ast.Expr(use) {
			if a, isAssign := nodes[len(nodes)-2].(*ast.AssignStmt); isAssign && a == opened {
				continue
			}
			return // it goes elsewhere
		}
		for _, n := range nodes {
			switch n.(type) {
			case *ast.FuncLit:
				if ends[sel.Sel.Name] {
					return // another goroutine, or what is deferred, ends it
				}
			case *ast.DeferStmt:
				if ends[sel.Sel.Name] {
					return
				}
			}
		}
		if ends[sel.Sel.Name] {
			closing = append(closing, use.Pos())
		}
	}
	at, found := u.escapes(in, func(n ast.Node) bool { return n == ast.Node(opened) }, func(n ast.Node) bool {
		return slices.ContainsFunc(closing, func(c token.Pos) bool { return within(n, c) })
	})
	if !found {
		return
	}
	where := ""
	if len(closing) > 0 {
		where = " on the way out at line " + itoa(u.fset.Position(at).Line)
	}
	fix := []analysis.SuggestedFix{{Message: "defer its Close", TextEdits: []analysis.TextEdit{
		{Pos: opened.End(), End: opened.End(), NewText: []byte("\ndefer " + obj.Name() + ".Close()")}}}}
	if of, _ := libraryType(obj.Type()); !hasMethod(obj.Type(), "Close") || of == "" {
		fix = nil
	}
	u.findWith(opened.Rhs[0], "openstream", fix, told, where)
}
