package vet

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// collectName notes which method a call names: a method of that name is meant to be called.
func (u *unit) collectName(k *Known, call *ast.CallExpr, form form) {
	service, ok1 := u.name(call, form.Service, form.ServiceName)
	method, ok2 := u.name(call, form.Method, form.MethodName)
	if id := service + "." + method; ok1 && ok2 && !slices.Contains(k.Called, id) {
		k.Called = append(k.Called, id)
	}
}

// isCalled reports whether something calls the method by name, or declares a typed
// method of its name.
func (v *view) isCalled(service, method string) bool {
	if service == "" {
		return false
	}
	return v.called[service+"."+method] || slices.ContainsFunc(v.methods[service], func(m *Method) bool {
		return m.Declared != "" && m.Name == method && !m.Test
	})
}

// replyNames are what people call the variable for a reply.
var replyNames = []string{"reply", "replies", "resp", "response", "responses", "result", "results"}

// looksMeant reports whether a method of another form was meant to be called by peers.
// A receiver has methods for its own program, too: of these nothing is told.
func looksMeant(sig *types.Signature) bool {
	in, out := sig.Params(), sig.Results()
	if in.Len() < 2 || out.Len() > 1 || out.Len() == 1 && !isError(out.At(0).Type()) {
		return false // it returns its answer
	}
	last, withContext := in.At(in.Len()-1), isContext(in.At(0).Type())
	if name, _ := libraryType(last.Type()); name != "" { // a handler of a typed method
		return false
	}
	switch last.Type().Underlying().(type) {
	case *types.Interface, *types.Signature: // nothing is decoded into these
		return false
	}
	if slices.Contains(replyNames, strings.ToLower(last.Name())) && (in.Len() > 2 || !withContext) {
		return true
	}
	return withContext && in.Len() == 3 && !sig.Variadic() && (isChannel(in.At(1).Type()) || isChannel(last.Type()) || isPointer(last.Type()))
}

func isChannel(t types.Type) bool {
	_, ok := t.Underlying().(*types.Chan)
	return ok
}

func isPointer(t types.Type) bool {
	_, ok := t.Underlying().(*types.Pointer)
	return ok
}
