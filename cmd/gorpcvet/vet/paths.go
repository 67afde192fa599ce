package vet

import (
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/cfg"
)

// body is that of a function, declared or literal.
type body struct {
	block *ast.BlockStmt
	sig   *types.Signature
	node  ast.Node
}

// innermost returns the body of the functions in outer that a place stands in.
func (u *unit) innermost(outer body, pos token.Pos) body {
	in := outer
	ast.Inspect(outer.block, func(n ast.Node) bool {
		if n == nil || pos < n.Pos() || n.End() <= pos {
			return false
		}
		if lit, ok := n.(*ast.FuncLit); ok {
			in = u.literal(lit)
		}
		return true
	})
	return in
}

func (u *unit) literal(lit *ast.FuncLit) body {
	sig, _ := u.info.TypeOf(lit).(*types.Signature)
	return body{lit.Body, sig, lit}
}

// mayReturn is false for panics and what ends the process or the goroutine.
func (u *unit) mayReturn(call *ast.CallExpr) bool {
	if u.isBuiltin(call, "panic") {
		return false
	}
	f := calledFunc(u.info, call)
	if f == nil || f.Pkg() == nil {
		return true
	}
	switch f.Pkg().Path() + "." + f.Name() {
	case "os.Exit", "runtime.Goexit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf", "log.Panicln",
		"testing.Fatal", "testing.Fatalf", "testing.FailNow", "testing.Skip", "testing.Skipf", "testing.SkipNow":
		return false
	}
	return true
}

// escapes returns a place by which a function is left although a condition that was
// begun has not been ended: begins and ends say which nodes do that. With a nil
// begins it is begun at the entry.
func (u *unit) escapes(b body, begins, ends func(ast.Node) bool) (at token.Pos, found bool) {
	graph := cfg.New(b.block, u.mayReturn)
	type state struct {
		block *cfg.Block
		begun bool
	}
	seen := make(map[state]bool)
	var walk func(s state) bool
	walk = func(s state) bool {
		if seen[s] {
			return false
		}
		seen[s] = true
		for _, n := range s.block.Nodes {
			if ends(n) {
				return false
			}
			s.begun = s.begun || begins(n)
		}
		if len(s.block.Succs) == 0 && s.begun && leaves(s.block, u.mayReturn) {
			at = b.block.Rbrace
			if r := s.block.Return(); r != nil {
				at = r.Pos()
			}
			return true
		}
		for _, next := range s.block.Succs {
			if walk(state{next, s.begun}) {
				return true
			}
		}
		return false
	}
	found = walk(state{graph.Blocks[0], begins == nil})
	return at, found
}

// leaves reports whether a function ends with the block, and does not panic there.
func leaves(b *cfg.Block, returns func(*ast.CallExpr) bool) bool {
	if !b.Live || b.Kind == cfg.KindSelectAfterCase && len(b.Nodes) == 0 { // a select waits for one of its cases
		return false
	}
	if b.Return() != nil {
		return true
	}
	if n := len(b.Nodes); n > 0 {
		if s, ok := b.Nodes[n-1].(*ast.ExprStmt); ok {
			call, isCall := s.X.(*ast.CallExpr)
			return !isCall || returns(call)
		}
	}
	return true
}

// within reports whether a node holds a place.
func within(n ast.Node, pos token.Pos) bool { return n.Pos() <= pos && pos < n.End() }

// uses are the places in a body where an object is named.
func (u *unit) usesOf(b body, obj types.Object) (all []*ast.Ident) {
	ast.Inspect(b.block, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && u.info.Uses[id] == obj {
			all = append(all, id)
		}
		return true
	})
	return all
}

// around returns the nodes that hold a place, from outside in.
func around(b body, pos token.Pos) (nodes []ast.Node) {
	ast.Inspect(b.block, func(n ast.Node) bool {
		if n == nil || !within(n, pos) {
			return false
		}
		nodes = append(nodes, n)
		return true
	})
	return nodes
}
