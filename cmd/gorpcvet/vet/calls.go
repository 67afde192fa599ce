package vet

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// site is a call by name.
type site struct {
	*unit
	call            *ast.CallExpr
	form            form
	service, method string
}

func (s *site) id() string { return s.service + "." + s.method }

// arg returns an argument of the call, and nil where its form has none there.
func (s *site) arg(at int) ast.Expr {
	if at == none || at >= len(s.call.Args) || s.call.Ellipsis.IsValid() {
		return nil
	}
	return s.call.Args[at]
}

// checkCall judges a call by name, and leaves other calls alone.
func (u *unit) checkCall(call *ast.CallExpr) {
	form, ok := u.formOf(call)
	if !ok || form.Register {
		return
	}
	s := &site{unit: u, call: call, form: form}
	named := s.names()
	s.checkShape()
	if !named {
		return
	}
	if category, problem := u.from(call).missing(s.service, s.method); problem != "" {
		u.findWith(call, category, s.respelled(category), "%s", problem)
		return
	}
	methods := u.from(call).served(s.service, s.method)
	if len(methods) == 0 {
		return
	}
	var fit []*Method
	for _, m := range methods {
		if m.Streaming == form.Streaming {
			fit = append(fit, m)
		}
	}
	if len(fit) == 0 {
		if form.Streaming {
			u.find(call, "kind", "%s is a unary method (%s), and this is a streaming call; use Call, Go or MultiCall", s.id(), methods[0].Where)
		} else {
			u.find(call, "kind", "%s is a streaming method (%s), and this is a unary call; use Stream or MultiStream", s.id(), methods[0].Where)
		}
		return
	}
	s.checkArgument(fit)
	s.checkReplies(fit)
	if u.world.typed {
		s.migrate(fit)
	}
}

// names finds the names of what is called, and reports whether they show.
func (s *site) names() bool {
	var ok1, ok2 bool
	s.service, ok1 = s.name(s.call, s.form.Service, s.form.ServiceName)
	s.method, ok2 = s.name(s.call, s.form.Method, s.form.MethodName)
	return ok1 && ok2
}

// respelled is the fix of a name with a typing error, where the name stands in the
// call itself.
func (s *site) respelled(category string) []analysis.SuggestedFix {
	at, name, all := s.form.Service, s.service, s.from(s.call).names("")
	if category == "method" {
		at, name, all = s.form.Method, s.method, s.from(s.call).names(s.service)
	}
	near := nearest(name, all)
	lit, ok := s.arg(at).(*ast.BasicLit)
	if near == "" || !ok {
		return nil
	}
	return replacement("call "+near, lit, `"`+near+`"`)
}

func replacement(message string, of ast.Node, text string) []analysis.SuggestedFix {
	return []analysis.SuggestedFix{{Message: message, TextEdits: []analysis.TextEdit{{Pos: of.Pos(), End: of.End(), NewText: []byte(text)}}}}
}

// checkShape judges what is wrong with a call whatever it calls.
func (s *site) checkShape() {
	if s.form.Streaming {
		s.checkChannel("arguments", s.arg(s.form.Args), types.RecvOnly)
		s.checkChannel("replies", s.arg(s.form.Reply), types.SendOnly)
		return
	}
	reply := s.arg(s.form.Reply)
	if s.form.Many {
		s.checkLengths()
		for _, r := range s.elements(reply) {
			s.checkReply(r)
		}
		for _, d := range s.elements(s.arg(s.form.Done)) {
			s.checkDone(d)
		}
		return
	}
	if reply != nil {
		s.checkReply(reply)
	}
	if done := s.arg(s.form.Done); done != nil {
		s.checkDone(done)
	}
}

func (s *site) called() string {
	if s.service == "" && s.method == "" {
		return "the call"
	}
	return s.id()
}

func (s *site) checkReply(reply ast.Expr) {
	if s.isNil(reply) {
		s.find(reply, "reply", "%s: the reply is nil, and the call panics; pass a pointer to a variable, &struct{}{} if there is nothing to read", s.called())
		return
	}
	t := s.valueType(reply)
	if t == nil {
		return
	}
	if _, ok := t.Underlying().(*types.Pointer); ok {
		return
	}
	var fixes []analysis.SuggestedFix
	if s.addressable(reply) {
		fixes = []analysis.SuggestedFix{{Message: "pass its address", TextEdits: []analysis.TextEdit{{Pos: reply.Pos(), End: reply.Pos(), NewText: []byte("&")}}}}
	}
	s.findWith(reply, "reply", fixes, "%s: the reply is a %s, no pointer, and the call panics; pass a pointer to a variable", s.called(), brief(t))
}

func (u *unit) addressable(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		_, ok := u.info.Uses[e].(*types.Var)
		return ok && !types.IsInterface(u.info.TypeOf(e))
	case *ast.SelectorExpr:
		return u.info.Types[e].Addressable()
	}
	return false
}

func (s *site) checkDone(done ast.Expr) {
	made, ok := s.resolved(done).(*ast.CallExpr)
	if !ok || !s.isBuiltin(made, "make") {
		return
	}
	if len(made.Args) > 1 {
		if n := s.info.Types[made.Args[1]].Value; n == nil || n.ExactString() != "0" {
			return
		}
	}
	text := ", 1)"
	fix := []analysis.SuggestedFix{{Message: "make room for one call", TextEdits: []analysis.TextEdit{{Pos: made.Args[0].End(), End: made.End(), NewText: []byte(text)}}}}
	s.findWith(made, "done", fix, "%s: the done channel has no room, and the call panics; make it with room for each of its calls", s.called())
}

func (u *unit) isBuiltin(call *ast.CallExpr, name string) bool {
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok {
		return false
	}
	b, ok := u.info.Uses[id].(*types.Builtin)
	return ok && b.Name() == name
}

// checkChannel judges what is passed as a stream's channel: it must be one that can
// be received from, or sent to.
func (s *site) checkChannel(what string, ch ast.Expr, need types.ChanDir) {
	if ch == nil {
		return
	}
	form := "chan T or <-chan T"
	if need == types.SendOnly {
		form = "chan T or chan<- T"
	}
	if s.isNil(ch) {
		s.find(ch, "channel", "%s: the %s channel is nil, and the call panics; pass a %s", s.called(), what, form)
		return
	}
	t := s.valueType(ch)
	if t == nil {
		return
	}
	c, ok := t.Underlying().(*types.Chan)
	switch {
	case !ok:
		s.find(ch, "channel", "%s: the %s are a %s, no channel, and the call panics; pass a %s", s.called(), what, brief(t), form)
	case c.Dir() != types.SendRecv && c.Dir() != need:
		s.find(ch, "channel", "%s: the %s are a %s, a channel of the wrong direction, and the call panics; pass a %s", s.called(), what, brief(t), form)
	}
}

// elements returns the expressions in a slice that is written as a literal.
func (u *unit) elements(e ast.Expr) (all []ast.Expr) {
	if e == nil {
		return nil
	}
	lit, ok := u.resolved(e).(*ast.CompositeLit)
	if id, isVar := ast.Unparen(e).(*ast.Ident); !ok || isVar && u.indexed[u.info.ObjectOf(id)] {
		return nil
	}
	for _, x := range lit.Elts {
		if kv, ok := x.(*ast.KeyValueExpr); ok {
			x = kv.Value
		}
		all = append(all, x)
	}
	return all
}

// length returns what shows of a slice's length.
func (u *unit) length(e ast.Expr) (n string) {
	if e == nil {
		return ""
	}
	switch r := u.resolved(e).(type) {
	case *ast.CompositeLit:
		for _, x := range r.Elts {
			if _, keyed := x.(*ast.KeyValueExpr); keyed {
				return ""
			}
		}
		return itoa(len(r.Elts))
	case *ast.CallExpr:
		if u.isBuiltin(r, "make") && len(r.Args) > 1 {
			if v := u.info.Types[r.Args[1]].Value; v != nil {
				return v.ExactString()
			}
		}
	case *ast.Ident:
		if u.isNil(r) {
			return "0"
		}
	}
	return ""
}

func (s *site) checkLengths() {
	first, of := "", ""
	for _, p := range []struct {
		name string
		at   int
	}{{"contexts", s.form.Ctx}, {"destinations", s.form.Dest}, {"replies", s.form.Reply}, {"done channels", s.form.Done}} {
		n := s.length(s.arg(p.at))
		switch {
		case n == "":
		case first == "":
			first, of = n, p.name
		case n != first:
			s.find(s.call, "lengths", "%s: %s %s and %s %s: there must be as many of each, or the call panics", s.called(), first, of, n, p.name)
			return
		}
	}
}

// isLocal reports whether the call is of the own process, whatever runs it.
func (s *site) isLocal() bool {
	dest := s.arg(s.form.Dest)
	if dest == nil || s.form.Many {
		return false
	}
	text, ok := s.text(dest)
	return ok && text == ""
}

// trimmedPath makes the full name of a type readable: the last part of its path.
func trimmedPath(full string) string {
	return full[strings.LastIndex(full, "/")+1:]
}
