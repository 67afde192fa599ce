package vet

import (
	"go/ast"
	"go/types"
	"slices"
)

// params are those of the function that is being read.
type params struct {
	u     *unit
	fn    *types.Func
	index map[types.Object]int
}

func newParams(u *unit) *params { return &params{u: u} }

// enter takes the parameters of a function that is declared.
func (p *params) enter(f *ast.FuncDecl) {
	p.fn, _ = p.u.info.Defs[f.Name].(*types.Func)
	p.index = make(map[types.Object]int)
	if p.fn == nil {
		return
	}
	if p.fn.Signature().Variadic() { // which argument is which does not show
		return
	}
	for i := range p.fn.Signature().Params().Len() {
		p.index[p.fn.Signature().Params().At(i)] = i
	}
	p.u.values()
	for obj := range p.index {
		if p.u.set[obj] { // what it is called with is not what it passes on
			delete(p.index, obj)
		}
	}
}

func (p *params) at(e ast.Expr) (int, bool) {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return none, false
	}
	if i, ok := p.index[p.u.info.ObjectOf(id)]; ok {
		return i, true
	}
	return none, false
}

func (p *params) has(e ast.Expr) bool {
	_, ok := p.at(e)
	return ok && types.IsInterface(p.u.info.TypeOf(e))
}

// wrappers finds the functions of the package that make a call by name, or register
// a receiver, with parameters of theirs: calls of them are judged as that call.
func (u *unit) wrappers(k *Known) {
	for range 4 { // wrappers of wrappers
		found := false
		for _, f := range u.files {
			for _, d := range f.Decls {
				if decl, ok := d.(*ast.FuncDecl); ok && decl.Body != nil {
					found = u.wrapper(k, decl) || found
				}
			}
		}
		if !found {
			return
		}
	}
}

func (u *unit) wrapper(k *Known, decl *ast.FuncDecl) (found bool) {
	p := newParams(u)
	p.enter(decl)
	if p.fn == nil || len(p.index) == 0 || IsLibrary(u.pkg.Path()) {
		return false
	}
	name := p.fn.FullName()
	if _, known := u.world.wrappers[name]; known {
		return false
	}
	var forms []form
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		form, ok := u.formOf(call)
		if !ok || form.Register && !(form.Args < len(call.Args) && p.has(call.Args[form.Args])) {
			return true
		}
		if lifted, ok := p.lift(call, form); ok {
			forms = append(forms, lifted)
		}
		return true
	})
	for _, f := range forms {
		if f.names() != forms[0].names() {
			return false // which of the calls it makes does not show
		}
	}
	if len(forms) == 0 {
		return false
	}
	k.Wrappers = append(k.Wrappers, wrapper{name, forms[0]})
	u.world.wrappers[name] = forms[0]
	return true
}

// names is what a form calls, whatever the context and the destination.
func (f form) names() form {
	f.Ctx, f.Dest = none, none
	return f
}

// formOf returns the form of a call by name or of a registration: of the library's
// own, or of a wrapper.
func (u *unit) formOf(call *ast.CallExpr) (form, bool) {
	f := calledFunc(u.info, call)
	if f == nil {
		return form{}, false
	}
	if c, own := libraryCallee(f); own {
		byName, ok := callsByName[c.name]
		if ok && c.pkg == "" && c.recv == "Client" {
			return byName, true
		}
		reg, ok := registrations[c.name]
		return reg, ok && c.pkg == "" && c.recv == "Server"
	}
	w, ok := u.world.wrappers[f.FullName()]
	return w, ok
}

// lift returns the form that a function has which makes the call with parameters
// of its own. There must be one among the names, the argument and the reply.
func (p *params) lift(call *ast.CallExpr, f form) (form, bool) {
	lifted := f
	lifts := false
	for _, place := range []*int{&lifted.Ctx, &lifted.Dest, &lifted.Args, &lifted.Reply, &lifted.Done} {
		i, ok := none, false
		if *place != none && *place < len(call.Args) {
			i, ok = p.at(call.Args[*place])
			lifts = lifts || ok && p.has(call.Args[*place])
		}
		*place = i
	}
	name := func(at *int, fixed *string) bool {
		if *at == none {
			return true
		}
		i, ok := p.at(call.Args[*at])
		if ok {
			*at, lifts = i, true
			return true
		}
		text, ok := p.u.text(call.Args[*at])
		*at, *fixed = none, text
		return ok
	}
	if slices.ContainsFunc(call.Args, func(e ast.Expr) bool { return p.u.info.TypeOf(e) == nil }) || call.Ellipsis.IsValid() {
		return form{}, false
	}
	return lifted, name(&lifted.Service, &lifted.ServiceName) && name(&lifted.Method, &lifted.MethodName) && lifts
}
