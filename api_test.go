package rpc_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateAPI = flag.Bool("update", false, "write testdata/api.txt anew")

const (
	apiFile      = "testdata/api.txt"
	mostExported = 90         // package-level names of the root
	v06Mark      = " // v0.6" // behind what v0.6 has, too
)

// apiPackages are the folders of what programs import.
var apiPackages = []string{".", "accesslog", "codes", "debug", "describe", "fan", "forms", "health", "policy", "rpctest", "state", "stats", "watch"}

func TestExportedNamesAreThoseOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, dir := range apiPackages {
		names, top, undocumented := exportedOf(t, dir)
		for _, u := range undocumented {
			t.Errorf("%s has no doc comment", u)
		}
		if dir == "." && top > mostExported {
			t.Errorf("the root exports %d package-level names, and %d may be: put what is new into a package of its own, as fan and policy are, or take away a name whose meaning another has (CONTRIBUTING.md)", top, mostExported)
		}
		lines = append(lines, names...)
	}
	lines = marked(lines)
	got := strings.Join(lines, "\n") + "\n"
	if *updateAPI {
		if err := os.WriteFile(apiFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	golden := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, l := range lines {
		if !slices.Contains(golden, l) {
			t.Errorf("not in %s (go test -run %s -update writes it): %s", apiFile, t.Name(), l)
		}
	}
	for _, l := range golden {
		if !slices.Contains(lines, l) {
			t.Errorf("no longer in the package, but in %s: %s", apiFile, l)
		}
	}
}

// exportedOf describes the exported names of the package in dir, one a line and
// sorted: those of the package, of which there are top, and their fields and
// methods.
func exportedOf(t *testing.T, dir string) (lines []string, top int, undocumented []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var pkg string
	add := func(what string, n *ast.Ident, typ string, documented bool) {
		lines = append(lines, strings.TrimSpace(pkg+": "+what+" "+typ))
		if !documented {
			undocumented = append(undocumented, fset.Position(n.Pos()).String()+": "+pkg+"."+n.Name)
		}
	}
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		pkg = f.Name.Name
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				recv := receiverOf(d)
				if !d.Name.IsExported() || recv != "" && !ast.IsExported(strings.TrimPrefix(recv, "*")) {
					continue
				}
				typ := strings.TrimPrefix(types.ExprString(d.Type), "func")
				if recv == "" {
					top++
					add("func "+d.Name.Name+typ, d.Name, "", d.Doc != nil)
				} else { // what String does needs no words
					add("func ("+recv+") "+d.Name.Name+typ, d.Name, "", d.Doc != nil || d.Name.Name == "String")
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							if n.IsExported() {
								top++
								add(d.Tok.String()+" "+n.Name, n, exprString(spec.Type), d.Doc != nil || spec.Doc != nil || spec.Comment != nil)
							}
						}
					case *ast.TypeSpec:
						if !spec.Name.IsExported() {
							continue
						}
						top++
						typ := exprString(spec.Type)
						switch inner := spec.Type.(type) {
						case *ast.StructType:
							typ = "struct"
							for _, m := range membersOf(inner.Fields) {
								add("field "+spec.Name.Name+"."+m, spec.Name, "", true)
							}
						case *ast.InterfaceType:
							typ = "interface"
							for _, m := range membersOf(inner.Methods) {
								add("method "+spec.Name.Name+"."+m, spec.Name, "", true)
							}
						}
						if spec.Assign.IsValid() {
							typ = "= " + typ
						}
						add("type "+spec.Name.Name, spec.Name, typ, d.Doc != nil || spec.Doc != nil)
					}
				}
			}
		}
	}
	slices.Sort(lines)
	return lines, top, undocumented
}

// receiverOf returns the type of a method's receiver, empty for a function.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	return types.ExprString(d.Recv.List[0].Type)
}

func exprString(e ast.Expr) string {
	if e == nil {
		return ""
	}
	return types.ExprString(e)
}

// membersOf returns the exported fields or methods with their types.
func membersOf(l *ast.FieldList) (all []string) {
	for _, f := range l.List {
		typ := types.ExprString(f.Type)
		if len(f.Names) == 0 && ast.IsExported(strings.TrimPrefix(typ[strings.LastIndexByte(typ, '.')+1:], "*")) {
			all = append(all, "(embedded) "+typ)
		}
		for _, n := range f.Names {
			if n.IsExported() {
				all = append(all, n.Name+" "+typ)
			}
		}
	}
	return all
}
