package vet

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"
)

// collect finds what a package registers. What packages that it imports have
// declared should be in the unit's world: wrappers of theirs are followed.
func (u *unit) collect() *Known {
	k := &Known{}
	u.wrappers(k)
	for _, f := range u.files {
		params := newParams(u)
		called := make(map[*ast.Ident]bool)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				params.enter(n)
			case *ast.CallExpr:
				if name := calledName(n); name == nil || !called[name] { // not a declaration that was read
					called[name] = true
					u.collectCall(k, n, params)
				}
			case *ast.Ident:
				if fn, ok := u.info.Uses[n].(*types.Func); ok && !called[n] && u.world.wrappers[fn.Origin().FullName()].Register {
					k.Open = append(k.Open, u.place("", n)) // what it is called with does not show
				}
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if i < len(n.Names) && u.collectDeclaration(k, v, n.Names[i]) {
						called[calledName(ast.Unparen(v).(*ast.CallExpr))] = true
					}
				}
			}
			return true
		})
	}
	return k
}

// calledName returns the name by which a function is called.
func calledName(call *ast.CallExpr) *ast.Ident {
	fun := ast.Unparen(call.Fun)
	switch f := fun.(type) { // NewMethod[A, R]
	case *ast.IndexExpr:
		fun = f.X
	case *ast.IndexListExpr:
		fun = f.X
	}
	switch f := fun.(type) {
	case *ast.Ident:
		return f
	case *ast.SelectorExpr:
		return f.Sel
	}
	return nil
}

func (u *unit) collectCall(k *Known, call *ast.CallExpr, params *params) {
	f := calledFunc(u.info, call)
	if f == nil {
		return
	}
	c, own := libraryCallee(f)
	switch {
	case own && c.pkg == "" && c.recv == "Server" && registrations[c.name].Register && !IsLibrary(u.pkg.Path()):
		u.collectRegistration(k, call, registrations[c.name], params)
	case own && c.pkg == "" && typedMethods[c.recv] && c.name == "Handle" && len(call.Args) > 1,
		own && c.pkg == rpctest && c.name == "Handle" && len(call.Args) > 2:
		u.serves(k, call.Args[len(call.Args)-1])
		u.collectHandle(k, call, c)
	case own && c.pkg == forms && c.name == "Register":
		u.collectForm(k, call)
	case own && c.pkg == rpctest && c.recv == "Server" && c.name == "Mock" && len(call.Args) == 2:
		u.collectMock(k, call)
	case own && c.pkg == "" && c.recv == "":
		if _, ok := declarations[c.name]; ok {
			_ = u.collectDeclaration(k, call, nil)
		}
	case !own:
		if form, ok := u.world.wrappers[f.FullName()]; ok && form.Register {
			u.collectRegistration(k, call, form, params)
		}
	}
	if form, ok := u.formOf(call); ok && !form.Register && !u.inTest(call) {
		u.collectName(k, call, form)
	}
}

// collectForm takes an interface whose types travel in another encoding.
func (u *unit) collectForm(k *Known, call *ast.CallExpr) {
	args := u.info.Instances[calledName(call)].TypeArgs
	if args.Len() != 1 {
		return
	}
	if i, ok := args.At(0).Underlying().(*types.Interface); ok && i.NumMethods() > 0 {
		var names []string
		for m := range i.Methods() {
			names = append(names, m.Name())
		}
		k.Forms = append(k.Forms, strings.Join(names, ","))
	}
}

// collectHandle takes a typed method that is served.
func (u *unit) collectHandle(k *Known, call *ast.CallExpr, c callee) {
	of := call.Args[min(1, len(call.Args)-1)] // rpctest's
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && c.pkg == "" {
		of = sel.X
	}
	var obj types.Object
	switch e := u.resolved(of).(type) {
	case *ast.CallExpr:
		if m, ok := u.declaration(e); ok {
			k.Methods = append(k.Methods, m)
			return
		}
	case *ast.Ident:
		obj = u.info.Uses[e]
	case *ast.SelectorExpr:
		obj = u.info.Uses[e.Sel]
	}
	if obj == nil || obj.Pkg() == nil {
		k.Open = append(k.Open, u.place("", call))
		return
	}
	for _, methods := range u.world.methods {
		for _, m := range methods {
			if m.Declared == obj.Pkg().Path()+"."+obj.Name() {
				served := *m
				served.Place, served.Declared, served.Where = u.place(m.Service, call), "", u.where(call)
				k.Methods = append(k.Methods, served)
				return
			}
		}
	}
	if obj.Pkg() != u.pkg || obj.Parent() != u.pkg.Scope() {
		k.Open = append(k.Open, u.place("", call))
	}
}

// serves notes that a function serves a method.
func (u *unit) serves(k *Known, f ast.Expr) {
	switch f := ast.Unparen(f).(type) {
	case *ast.Ident:
		if fn, ok := u.info.Uses[f].(*types.Func); ok {
			k.Serving = append(k.Serving, fn.Origin().FullName())
		}
	case *ast.SelectorExpr:
		if fn, ok := u.info.Uses[f.Sel].(*types.Func); ok {
			k.Serving = append(k.Serving, fn.Origin().FullName())
		}
	}
}

func (u *unit) collectRegistration(k *Known, call *ast.CallExpr, form form, params *params) {
	if form.Args >= len(call.Args) {
		return
	}
	if params.has(call.Args[form.Args]) {
		if _, wrapper := u.world.wrappers[params.fn.FullName()]; !wrapper { // else what it is called with counts
			service, _ := u.name(call, form.Service, form.ServiceName)
			k.Open = append(k.Open, u.place(service, call))
		}
		return
	}
	rcvr := call.Args[form.Args]
	t := u.valueType(rcvr)
	service, ok := u.serviceOf(call, form, t)
	if form.Method != none || form.MethodName != "" {
		method, okMethod := u.name(call, form.Method, form.MethodName)
		if t == nil || !ok || !okMethod {
			k.Open = append(k.Open, u.place(service, call))
			return
		}
		u.collectFunc(k, service, method, t, rcvr, call)
		return
	}
	if t == nil || !ok || service == "" {
		k.Open = append(k.Open, u.place(service, call))
		return
	}
	k.Services = append(k.Services, u.place(service, call))
	for _, m := range receiverMethods(pointerTo(t)) { // those of a pointer, too: that they are left out is told
		streaming, arg, reply, reason := methodForm(m.Signature())
		if reason == "" {
			k.Methods = append(k.Methods, u.method(service, m.Name(), streaming, arg, reply, call))
			k.Serving = append(k.Serving, m.Origin().FullName())
		}
	}
}

// serviceOf returns the name under which a receiver, or a function, is registered.
func (u *unit) serviceOf(call *ast.CallExpr, form form, t types.Type) (string, bool) {
	if form.Service == none && form.ServiceName == "" && t != nil {
		if named := namedOf(t); named != nil {
			return typeName(named), true
		}
	}
	return u.name(call, form.Service, form.ServiceName)
}

// name returns a name that is an argument of a call, or fixed.
func (u *unit) name(call *ast.CallExpr, at int, fixed string) (string, bool) {
	if at == none {
		return fixed, fixed != ""
	}
	if at >= len(call.Args) {
		return "", false
	}
	return u.text(call.Args[at])
}

func (u *unit) collectFunc(k *Known, service, method string, t types.Type, f ast.Expr, at ast.Node) {
	sig, ok := t.Underlying().(*types.Signature)
	if !ok {
		return
	}
	if streaming, arg, reply, reason := methodForm(sig); reason == "" {
		k.Methods = append(k.Methods, u.method(service, method, streaming, arg, reply, at))
		u.serves(k, f)
	}
}

// collectMock takes the functions of a test for methods: calls that fit them are
// right.
func (u *unit) collectMock(k *Known, call *ast.CallExpr) {
	service, ok := u.text(call.Args[0])
	lit, isLit := u.resolved(call.Args[1]).(*ast.CompositeLit)
	if !ok || !isLit {
		k.Open = append(k.Open, u.place(service, call))
		return
	}
	for _, e := range lit.Elts {
		kv, isKV := e.(*ast.KeyValueExpr)
		if !isKV {
			continue
		}
		method, ok := u.text(kv.Key)
		if t := u.valueType(kv.Value); ok && t != nil {
			u.collectFunc(k, service, method, t, kv.Value, kv)
		} else {
			k.Open = append(k.Open, u.place(service, kv))
		}
	}
}

// collectDeclaration takes a typed method that is declared. id is its variable, if
// it is one's.
func (u *unit) collectDeclaration(k *Known, e ast.Expr, id *ast.Ident) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	m, ok := u.declaration(call)
	if !ok {
		return false
	}
	m.Declared = "-"
	if id != nil {
		if obj := u.info.Defs[id]; obj != nil && obj.Parent() == u.pkg.Scope() {
			m.Declared = u.pkg.Path() + "." + obj.Name()
		}
	}
	k.Methods = append(k.Methods, m)
	return true
}

// declaration reads a call that declares a typed method.
func (u *unit) declaration(call *ast.CallExpr) (m Method, ok bool) {
	c, own := libraryCallee(calledFunc(u.info, call))
	streaming, declares := declarations[c.name]
	if !own || c.pkg != "" || c.recv != "" || !declares || len(call.Args) < 2 {
		return m, false
	}
	service, ok1 := u.text(call.Args[0])
	method, ok2 := u.text(call.Args[1])
	_, args := libraryType(u.info.TypeOf(call))
	if !ok1 || !ok2 || service == "" || method == "" || args.Len() != 2 || hasTypeParam(args.At(0), 0) || hasTypeParam(args.At(1), 0) {
		return m, false
	}
	return u.method(service, method, streaming, args.At(0), args.At(1), call), true
}

func (u *unit) method(service, name string, streaming bool, arg, reply types.Type, at ast.Node) Method {
	d := describer{Rules: u.types}
	shown := d.Method(0, u.types.one(arg), u.types.one(reply))
	d.Methods = append(d.Methods, shown)
	return Method{
		Place: u.place(service, at), Name: name, Streaming: streaming, Arg: full(arg), Reply: full(reply), ArgWords: brief(arg), ReplyWords: brief(reply),
		AnyArg: !shows(arg), AnyReply: !shows(reply), Types: d.Description, Where: u.where(at),
	}
}

// pointerTo returns a pointer to t, unless t is one or an interface.
func pointerTo(t types.Type) types.Type {
	if _, ok := t.Underlying().(*types.Pointer); ok || types.IsInterface(t) {
		return t
	}
	return types.NewPointer(t)
}

// receiverMethods are the exported methods that a value of the type has.
func receiverMethods(t types.Type) (all []*types.Func) {
	set := types.NewMethodSet(t)
	for i := range set.Len() {
		if f, ok := set.At(i).Obj().(*types.Func); ok && f.Exported() {
			all = append(all, f)
		}
	}
	return all
}

const (
	unaryForm     = "func(context.Context, A, *R) error"
	streamingForm = "func(context.Context, <-chan A, chan<- R) error"
)

// methodForm reads the form of a method as Register does, and says what is wrong
// with it if anything is.
func methodForm(sig *types.Signature) (streaming bool, arg, reply types.Type, reason string) {
	in, out := sig.Params(), sig.Results()
	switch {
	case sig.Variadic():
		return false, nil, nil, fmt.Sprintf("it is variadic: make it %s or %s", unaryForm, streamingForm)
	case in.Len() != 3:
		return false, nil, nil, fmt.Sprintf("it takes %d arguments, not 3: make it %s or %s", in.Len(), unaryForm, streamingForm)
	case !isContext(in.At(0).Type()):
		return false, nil, nil, fmt.Sprintf("its first argument is %s, not a context.Context", brief(in.At(0).Type()))
	case out.Len() != 1 || !isError(out.At(0).Type()):
		return false, nil, nil, "it must return one value, an error"
	}
	arg, reply = in.At(1).Type(), in.At(2).Type()
	a, isA := arg.Underlying().(*types.Chan)
	r, isR := reply.Underlying().(*types.Chan)
	p, isP := reply.Underlying().(*types.Pointer)
	switch {
	case isA != isR:
		reason = fmt.Sprintf("it takes %s and %s, of which only one is a channel: make it %s", brief(arg), brief(reply), streamingForm)
	case isA && a.Dir() != types.RecvOnly:
		reason = fmt.Sprintf("its arguments are a %s, a channel of the wrong direction: make it a <-chan %s", brief(arg), brief(a.Elem()))
	case isA && r.Dir() != types.SendOnly:
		reason = fmt.Sprintf("its replies are a %s, a channel of the wrong direction: make it a chan<- %s", brief(reply), brief(r.Elem()))
	case isA:
		return true, a.Elem(), r.Elem(), ""
	case isEnd(arg, "Receiver") || isEnd(reply, "Sender"):
		reason = "it is a typed streaming method: serve it by the Handle of a ServerStream, ClientStream or Duplex"
	case !isP:
		reason = fmt.Sprintf("its reply is a %s, not a pointer: make it a *%s", brief(reply), brief(reply))
	default:
		return false, arg, p.Elem(), ""
	}
	return false, nil, nil, reason
}

func isEnd(t types.Type, name string) bool {
	of, _ := libraryType(t)
	return strings.HasPrefix(of, name) && !types.IsInterface(t)
}
