package structure_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The ways that docs/architecture.md lists, and how often each may change file,
// returns counted.
var ways = map[string]int{
	"remote call, client": 30,
	"remote call, server": 30,
	"local typed call":    12,
}

// step is a function on the way of a call.
type step struct {
	depth      int
	file, name string // name is "f", or "T.f" for a method
	by         string // what its caller names: the function, or the field that holds it
	line       int
}

// TestTheWayOfACall reads the lists of docs/architecture.md. Each line names a
// file and, indented by how deep it is called, a function. The function has to be
// in that file, and the one that the list says calls it has to name it.
func TestTheWayOfACall(t *testing.T) {
	functions := make(map[string]*ast.FuncDecl) // by file, space, name
	for _, s := range sources(t) {
		for _, d := range s.tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				functions[s.path+" "+nameOf(f)] = f
			}
		}
	}
	found := readWays(t)
	for name, most := range ways {
		steps := found[name]
		if len(steps) == 0 {
			t.Errorf("docs/architecture.md has no list %q", name)
			continue
		}
		for i, s := range steps {
			f := functions[s.file+" "+s.name]
			if f == nil {
				t.Errorf("docs/architecture.md:%d: there is no function %s in %s", s.line, s.name, s.file)
				continue
			}
			if c, ok := caller(steps, i); ok {
				if g := functions[c.file+" "+c.name]; g != nil && !names(g, s.by) {
					t.Errorf("docs/architecture.md:%d: %s in %s does not name %s", s.line, c.name, c.file, s.by)
				}
			}
		}
		n := changes(steps)
		t.Logf("%s: %d functions, %d changes of file", name, len(steps), n)
		if n > most {
			t.Errorf("%s: it changes file %d times, and may %d times", name, n, most)
		}
	}
}

// readWays returns the lists: code blocks that begin with "way: NAME".
func readWays(t *testing.T) map[string][]step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]step)
	way := ""
	for i, line := range strings.Split(string(text), "\n") {
		if name, ok := strings.CutPrefix(line, "way: "); ok {
			way = name
			continue
		}
		if strings.HasPrefix(line, "```") {
			way = ""
		}
		file, rest, ok := strings.Cut(line, " ")
		if way == "" || !ok || strings.HasPrefix(file, "#") {
			continue
		}
		name, by, _ := strings.Cut(strings.TrimLeft(rest, " "), " by ")
		if by == "" {
			by = name[strings.LastIndex(name, ".")+1:]
		}
		all[way] = append(all[way], step{len(file) + 1 + len(rest) - len(strings.TrimLeft(rest, " ")), file, name, by, i + 1})
	}
	return all
}

// caller returns the last step before the i-th that is less deep.
func caller(steps []step, i int) (step, bool) {
	for j := i - 1; j >= 0; j-- {
		if steps[j].depth < steps[i].depth {
			return steps[j], true
		}
	}
	return step{}, false
}

// changes counts the changes of file on a way, by calls and by returns.
func changes(steps []step) (n int) {
	for i, s := range steps {
		if c, ok := caller(steps, i); ok && c.file != s.file {
			n += 2 // there and back
		}
	}
	return n
}

func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	for {
		switch of := t.(type) {
		case *ast.StarExpr:
			t = of.X
			continue
		case *ast.IndexExpr:
			t = of.X
			continue
		case *ast.IndexListExpr:
			t = of.X
			continue
		case *ast.Ident:
			return of.Name + "." + f.Name.Name
		}
		return f.Name.Name
	}
}

// names reports whether a function's body has the name, or hands on to what it
// was given: a call by an interface or a func value is named where it is made.
func names(f *ast.FuncDecl, name string) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && strings.EqualFold(id.Name, name) {
			found = true
		}
		return !found
	})
	return found
}
