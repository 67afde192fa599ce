package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// checkRegistration judges what is registered: what Register leaves out or refuses,
// and what of its types is lost on the wire.
func (u *unit) checkRegistration(call *ast.CallExpr, params *params) {
	form, ok := u.formOf(call)
	if !ok || !form.Register || form.Args >= len(call.Args) || params.has(call.Args[form.Args]) {
		return
	}
	rcvr := call.Args[form.Args]
	if u.isNil(rcvr) {
		u.find(call, "register", "nothing is registered: nil has no methods; pass a receiver that has")
		return
	}
	t := u.valueType(rcvr)
	if t == nil {
		return
	}
	if sig, isFunc := t.Underlying().(*types.Signature); form.Method != none || form.MethodName != "" {
		if !isFunc {
			u.find(rcvr, "register", "a %s is no function: make it %s or %s", brief(t), unaryForm, streamingForm)
			return
		}
		u.checkFunc(rcvr, sig, "the function")
		return
	}
	u.checkReceiver(call, rcvr, t, form)
}

// checkFunc judges a function that is to serve as a method.
func (u *unit) checkFunc(at ast.Node, sig *types.Signature, what string) {
	_, arg, reply, reason := methodForm(sig)
	if reason != "" {
		u.find(at, "register", "%s is refused: %s", what, reason)
		return
	}
	u.checkTravels(at, what, arg, reply)
}

func (u *unit) checkReceiver(call *ast.CallExpr, rcvr ast.Expr, t types.Type, form form) {
	named := namedOf(t)
	if form.Service == none && form.ServiceName == "" && (named == nil || !named.Obj().Exported()) {
		u.find(rcvr, "register", "Register refuses a %s: its type has no exported name; use RegisterName", brief(t))
		return
	}
	service, _ := u.serviceOf(call, form, t)
	taken := 0
	for _, m := range receiverMethods(t) {
		_, arg, reply, reason := methodForm(m.Signature())
		if reason == "" {
			taken++
			u.checkTravels(call, brief(t)+"."+m.Name(), arg, reply)
		} else if looksMeant(m.Signature()) || u.from(call).isCalled(service, m.Name()) {
			at := ast.Node(call)
			if decl := u.declOf(m); decl != nil {
				at = decl.Name
			}
			u.find(at, "leftout", "Register (%s) leaves %s.%s out: %s", u.where(call), brief(t), m.Name(), reason)
		}
	}
	taken += u.checkPointerMethods(rcvr, t, taken)
	if taken == 0 {
		u.find(rcvr, "register", "Register refuses a %s: it has no method of the form %s or %s", brief(t), unaryForm, streamingForm)
	}
}

// checkPointerMethods reports the methods that are left out because a value was
// registered and its pointer has them.
func (u *unit) checkPointerMethods(rcvr ast.Expr, t types.Type, taken int) (found int) {
	if _, ok := t.Underlying().(*types.Pointer); ok || types.IsInterface(t) {
		return 0
	}
	has := make(map[string]bool)
	for _, m := range receiverMethods(t) {
		has[m.Name()] = true
	}
	var names []string
	for _, m := range receiverMethods(types.NewPointer(t)) {
		if _, _, _, reason := methodForm(m.Signature()); reason == "" && !has[m.Name()] {
			names = append(names, m.Name())
		}
	}
	if len(names) == 0 {
		return 0
	}
	var fixes []analysis.SuggestedFix
	if _, lit := ast.Unparen(rcvr).(*ast.CompositeLit); lit || u.addressable(rcvr) {
		fixes = []analysis.SuggestedFix{{Message: "register the pointer", TextEdits: []analysis.TextEdit{{Pos: rcvr.Pos(), End: rcvr.Pos(), NewText: []byte("&")}}}}
	}
	u.findWith(rcvr, "leftout", fixes, "Register leaves out methods whose receiver is a pointer, %s: register a *%s", strings.Join(names, ", "), brief(t))
	return len(names)
}

// declOf returns the declaration of a method that stands in this package.
func (u *unit) declOf(m *types.Func) *ast.FuncDecl {
	if m.Pkg() != u.pkg {
		return nil
	}
	for _, f := range u.files {
		if f.FileStart <= m.Pos() && m.Pos() < f.FileEnd {
			for _, d := range f.Decls {
				if fd, ok := d.(*ast.FuncDecl); ok && fd.Name.Pos() == m.Pos() {
					return fd
				}
			}
		}
	}
	return nil
}

// checkTravels reports the parts of a method's types that are lost on the wire, at
// the field where it stands in this package.
func (u *unit) checkTravels(at ast.Node, method string, arg, reply types.Type) {
	for i, t := range []types.Type{arg, reply} {
		what := [...]string{"argument", "reply"}[i]
		if !shows(t) {
			if _, ok := t.Underlying().(*types.Interface); !ok || hasTypeParam(t, 0) {
				continue
			}
		}
		steps, why := travels.Obstacle[types.Type](u.types, u.types.one(t))
		if why == "" {
			continue
		}
		place := at
		if len(steps) > 0 {
			field := steps[0].Struct.Underlying().(*types.Struct).Field(steps[0].Index)
			if field.Pkg() == u.pkg && u.inFiles(field.Pos()) {
				place = span{field.Pos(), field.Pos() + token.Pos(len(field.Name()))}
			}
		}
		u.find(place, "travels", "the %s of %s cannot travel whole: of %s, %s; a call fails in which that is not nil or zero",
			what, method, brief(t), travels.Describe(travels.Names(steps), why))
	}
}

func (u *unit) inFiles(pos token.Pos) bool {
	for _, f := range u.files {
		if f.FileStart <= pos && pos < f.FileEnd {
			return true
		}
	}
	return false
}

// span is a place in a source.
type span struct{ pos, end token.Pos }

func (s span) Pos() token.Pos { return s.pos }
func (s span) End() token.Pos { return s.end }

// checkMock judges the functions that stand in for methods in a test.
func (u *unit) checkMock(call *ast.CallExpr) {
	c, own := libraryCallee(calledFunc(u.info, call))
	if !own || c.pkg != rpctest || c.recv != "Server" || c.name != "Mock" || len(call.Args) != 2 {
		return
	}
	lit, ok := u.resolved(call.Args[1]).(*ast.CompositeLit)
	if !ok {
		return
	}
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		name, _ := u.text(kv.Key)
		if t := u.valueType(kv.Value); t != nil {
			if sig, ok := t.Underlying().(*types.Signature); ok {
				u.checkFunc(kv.Value, sig, "the mock of "+name)
			}
		}
	}
}

// checkHandle judges the types of a typed method where it is handled.
func (u *unit) checkHandle(call *ast.CallExpr) {
	c, own := libraryCallee(calledFunc(u.info, call))
	if !own || c.pkg != "" || !typedMethods[c.recv] || c.name != "Handle" {
		return
	}
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	if _, args := libraryType(u.info.TypeOf(sel.X)); args.Len() == 2 {
		u.checkTravels(call, types.ExprString(sel.X), args.At(0), args.At(1))
	}
}

// checkDropped reports a call whose error nobody sees.
func (u *unit) checkDropped(stmt ast.Stmt, enclosing *types.Signature) {
	var e ast.Expr
	switch s := stmt.(type) {
	case *ast.ExprStmt:
		e = s.X
	case *ast.GoStmt:
		e = s.Call
	case *ast.DeferStmt:
		e = s.Call
	}
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return
	}
	c, own := libraryCallee(calledFunc(u.info, call))
	if !own || c.pkg != "" || !dropping[c.recv][c.name] {
		return
	}
	var fixes []analysis.SuggestedFix
	_, plain := stmt.(*ast.ExprStmt)
	if r := enclosing; plain && r != nil && r.Results().Len() == 1 && isError(r.Results().At(0).Type()) {
		fixes = []analysis.SuggestedFix{{Message: "return the error", TextEdits: []analysis.TextEdit{
			{Pos: call.Pos(), End: call.Pos(), NewText: []byte("if err := ")},
			{Pos: call.End(), End: call.End(), NewText: []byte("; err != nil {\nreturn err\n}")},
		}}}
	}
	if c.recv == "Client" {
		u.find(call, "dropped", "the errors of %s, one for each destination, are dropped: look at each", c.name)
		return
	}
	u.findWith(call, "dropped", fixes, "the error of %s is dropped, and callers then find no method: return it, or end the program", c.name)
}
