package vet

import (
	"go/ast"
	"go/types"
	"strings"
)

// checkPolicy reports keys of a policy that name no registered method.
func (u *unit) checkPolicy(lit *ast.CompositeLit) {
	named, ok := types.Unalias(u.info.TypeOf(lit)).(*types.Named)
	if !ok || named.Obj().Pkg() == nil || !policies[unvendored(named.Obj().Pkg().Path())+"."+named.Obj().Name()] {
		return
	}
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		id, ok := u.resolved(kv.Key).(*ast.CompositeLit)
		if !ok {
			continue
		}
		service, method, ok := u.serviceID(id)
		if !ok {
			continue
		}
		if _, problem := u.from(kv.Key).missing(service, method); problem != "" {
			u.find(kv.Key, "policy", "the rule is for no method: %s", problem)
		}
	}
}

// serviceID reads a literal of a method's names.
func (u *unit) serviceID(lit *ast.CompositeLit) (service, method string, ok bool) {
	for i, e := range lit.Elts {
		name := [...]string{"Name", "Method"}[min(i, 1)]
		if kv, keyed := e.(*ast.KeyValueExpr); keyed {
			if id, isIdent := kv.Key.(*ast.Ident); isIdent {
				name = id.Name
			}
			e = kv.Value
		}
		text, shown := u.text(e)
		if !shown {
			return "", "", false
		}
		if name == "Name" {
			service = text
		} else {
			method = text
		}
	}
	return service, method, service != ""
}

// checkAuthorizeMap does that for the map of v0.6, which has "Service.Method".
func (u *unit) checkAuthorizeMap(call *ast.CallExpr) {
	c, own := libraryCallee(calledFunc(u.info, call))
	if !own || c.recv != "" || c.name != authorizeWithMap || len(call.Args) != 1 {
		return
	}
	peers, ok := u.resolved(call.Args[0]).(*ast.CompositeLit)
	if !ok {
		return
	}
	for _, e := range peers.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		methods, ok := u.resolved(kv.Value).(*ast.CompositeLit)
		if !ok {
			continue
		}
		for _, m := range methods.Elts {
			if kv, ok := m.(*ast.KeyValueExpr); ok {
				u.checkAuthorized(kv.Key)
			}
		}
	}
}

func (u *unit) checkAuthorized(key ast.Expr) {
	id, ok := u.text(key)
	if !ok {
		return
	}
	i := strings.LastIndex(id, ".")
	if i <= 0 {
		u.find(key, "policy", "the rule is for no method: %q is not of the form Service.Method", id)
		return
	}
	if _, problem := u.from(key).missing(id[:i], id[i+1:]); problem != "" {
		u.find(key, "policy", "the rule is for no method: %s", problem)
	}
}
