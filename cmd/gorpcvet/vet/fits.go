package vet

import (
	"go/ast"
	"go/types"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

func itoa(n int) string { return strconv.Itoa(n) }

// checkArgument reports an argument that fits none of the methods.
func (s *site) checkArgument(methods []*Method) {
	e := s.arg(s.form.Args)
	if e == nil {
		return
	}
	t := s.valueType(e)
	if s.form.Streaming {
		t = element(t)
	}
	if t == nil {
		return
	}
	var problem string
	for _, m := range methods {
		if m.AnyArg {
			return
		}
		p := s.misfit(t, m, true)
		if p == "" {
			return
		}
		if problem == "" {
			problem = p
		}
	}
	s.find(e, "argument", "%s: %s", s.id(), problem)
}

func element(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	if c, ok := t.Underlying().(*types.Chan); ok && shows(c.Elem()) {
		return c.Elem()
	}
	return nil
}

// checkReplies does that for the replies.
func (s *site) checkReplies(methods []*Method) {
	e := s.arg(s.form.Reply)
	if e == nil {
		return
	}
	all := []ast.Expr{e}
	if s.form.Many && !s.form.Streaming {
		all = s.elements(e)
	}
	for _, r := range all {
		t := s.valueType(r)
		if s.form.Streaming {
			t = element(t)
		} else if t != nil {
			p, ok := t.Underlying().(*types.Pointer)
			if !ok || !shows(p.Elem()) {
				continue
			}
			t = p.Elem()
		}
		if t == nil {
			continue
		}
		problem := ""
		for _, m := range methods {
			p := s.misfit(t, m, false)
			if p == "" || m.AnyReply {
				problem = ""
				break
			}
			if problem == "" {
				problem = p
			}
		}
		if problem != "" {
			s.find(r, "reply", "%s: %s", s.id(), problem)
		}
	}
}

// misfit says why the caller's type is not the method's, if it is not: what the one
// writes the other does not read, or not all of it.
func (s *site) misfit(t types.Type, m *Method, argument bool) string {
	want, words, what := m.Reply, m.ReplyWords, "reply"
	if argument {
		want, words, what = m.Arg, m.ArgWords, "argument"
	}
	have := full(t)
	if strings.TrimPrefix(have, "*") == strings.TrimPrefix(want, "*") {
		return ""
	}
	mend := "; use a " + words
	if brief(t) == words {
		words, mend = trimmedPath(want), "; use the same type"
	}
	told := "the " + what + " is a " + brief(t) + " here, and the method (" + m.Where + ") has a " + words
	differences := s.differences(t, m, argument)
	switch {
	case differences != "":
		return told + ": " + differences + mend
	case s.isLocal():
		return told + ": a call of the own process needs the same type" + mend
	case isBasic(t) && types.Universe.Lookup(strings.TrimPrefix(want, "*")) != nil: // a string fits bytes, elsewhere
		return told + ": a call of the own process fails" + mend
	}
	return ""
}

// differences compares the types as they travel, by the library's own comparison.
func (s *site) differences(t types.Type, m *Method, argument bool) string {
	caller := describer{Rules: s.types}
	own := caller.Method(0, s.types.one(t), s.types.one(t))
	if own.State != shape.Here || m.Types.Methods[0].State != shape.Here {
		return ""
	}
	var found shape.Findings
	left := shape.MaxCompared
	if argument {
		d := shape.Direction{From: &caller.Description, To: &m.Types, Writer: "the caller", Reader: "the method", Left: &left}
		shape.Compare(&found, d, "argument", own.Args, m.Types.Methods[0].Args)
	} else {
		d := shape.Direction{From: &m.Types, To: &caller.Description, Writer: "the method", Reader: "the caller", Left: &left}
		shape.Compare(&found, d, "reply", m.Types.Methods[0].Reply, own.Reply)
	}
	for _, all := range [][]string{found.Problems(), found.Notes()} {
		if len(all) > 0 {
			return all[0]
		}
	}
	return ""
}

func isBasic(t types.Type) bool {
	_, ok := types.Unalias(target(t)).(*types.Basic)
	return ok
}

// checkDeclaration compares a typed method with receivers that serve it.
func (u *unit) checkDeclaration(call *ast.CallExpr) {
	own, ok := u.declaration(call)
	if !ok {
		return
	}
	_, args := libraryType(u.info.TypeOf(call))
	s := &site{unit: u, call: call, service: own.Service, method: own.Name}
	s.form.Dest = none
	kind, argument, reply := "", "", ""
	for _, m := range u.from(call).served(own.Service, own.Name) {
		if m.Declared != "" {
			continue
		}
		var k, a, r string
		if m.Streaming != own.Streaming {
			k = "is declared as a " + own.kind() + " method, and is served (" + m.Where + ") as a " + m.kind() + " one"
		} else if !own.AnyArg && !m.AnyArg {
			a = s.misfit(args.At(0), m, true)
		}
		if k == "" && !own.AnyReply && !m.AnyReply {
			r = s.misfit(args.At(1), m, false)
		}
		if k == "" && a == "" && r == "" {
			return // it is served as it is declared
		}
		kind, argument, reply = k, a, r
	}
	for _, p := range [][2]string{{"kind", kind}, {"argument", argument}, {"reply", reply}} {
		if p[1] != "" {
			u.find(call, p[0], "%s %s", own.id(), p[1])
		}
	}
}
