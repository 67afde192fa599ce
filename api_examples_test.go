package rpc_test

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/libp2p/go-libp2p-gorpc"

// withoutExample are the names that no Example calls, and why.
var withoutExample = map[string]string{
	"fan.Option.ApplyFan":     "programs have no use for it",
	"rpc.CallOption.ApplyFan": "programs have no use for it",
	"describe.Method.ID":      "Check calls it",
	"describe.Method.Info":    "Check calls it",
	"rpctest.Typed.Handle":    "Handle calls it",
	"rpctest.Typed.ID":        "Handle calls it",
	"rpc.Response":            "v0.6 exports it; programs have no use for it",
	"rpc.MaxServiceIDLength":  "Register checks it",
}

// calledByOthers are methods that Examples call through another package or an interface.
var calledByOthers = map[string]string{
	"String": "fmt", "Error": "fmt", "LogValue": "log/slog", "MarshalJSON": "encoding/json", "UnmarshalJSON": "encoding/json",
	"Is": "errors", "Unwrap": "errors", "IsClient": "stats.RPCStats",
}

// TestEveryNameIsInAnExample holds that what is exported is shown at work: every
// package-level name and every method is used in a file of Examples.
func TestEveryNameIsInAnExample(t *testing.T) {
	t.Parallel()
	var dirs []string
	for _, dir := range apiPackages {
		dirs = append(dirs, "./"+dir)
	}
	files := exportFiles(t, dirs...)
	set := token.NewFileSet()
	from := importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
	used := make(map[string]bool)
	for _, dir := range apiPackages {
		usedIn(t, set, from, dir, used)
	}
	for _, dir := range apiPackages {
		pkg, err := from.Import(filepath.ToSlash(filepath.Join(module, dir)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range namesOf(pkg) {
			_, excepted := withoutExample[name]
			_, called := calledByOthers[name[strings.LastIndexByte(name, '.')+1:]]
			switch {
			case strings.Count(name, ".") == 2 && called:
			case used[name] && excepted:
				t.Errorf("%s is in an Example: take it off the list of those that are not", name)
			case !used[name] && !excepted:
				t.Errorf("%s is in no Example: write one that shows why a program would use it", name)
			}
			delete(withoutExample, name)
		}
	}
	for name := range withoutExample {
		t.Errorf("the packages have no %s: take it off the list of names without an Example", name)
	}
}

// exportFiles returns the compiled packages that those in dirs, and their tests, import.
func exportFiles(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-test", "-f", "{{.ImportPath}}={{.Export}}"}, dirs...)
	list := exec.Command("go", args...)
	var failed bytes.Buffer
	list.Stderr = &failed
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &failed)
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return files
}

// usedIn notes the names of the module that the Example files in dir use: the names
// they write, the types of the values that they have, and what their own types
// implement.
func usedIn(t *testing.T, set *token.FileSet, from types.Importer, dir string, used map[string]bool) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed, examples []*ast.File
	for _, p := range paths {
		f, err := parser.ParseFile(set, p, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name.Name, "_test") {
			parsed = append(parsed, f) // Examples use what is in others
			if strings.HasPrefix(filepath.Base(p), "example") {
				examples = append(examples, f)
			}
		}
	}
	if len(examples) == 0 {
		return // its names are in the Examples of others
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object), Types: make(map[ast.Expr]types.TypeAndValue)}
	config := types.Config{Importer: from, Error: func(err error) { t.Error(err) }}
	_, _ = config.Check(dir+"_test", set, parsed, info)
	for _, f := range examples {
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				noteObject(used, info.Uses[id])
				noteMethod(used, info.Defs[id])
			}
			if e, ok := n.(ast.Expr); ok {
				noteType(used, info.Types[e].Type)
			}
			return true
		})
	}
}

func noteObject(used map[string]bool, obj types.Object) {
	if obj == nil {
		return
	}
	used[nameOf(obj)] = true
	noteType(used, obj.Type())
}

// noteType notes the type of a value, and those of what a function takes.
func noteType(used map[string]bool, t types.Type) {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if f, ok := t.(*types.Signature); ok {
		for v := range f.Params().Variables() {
			of := v.Type()
			if s, ok := of.(*types.Slice); ok {
				of = s.Elem()
			}
			if named, ok := of.(*types.Named); ok {
				used[nameOf(named.Obj())] = true
			}
		}
	}
	if named, ok := t.(*types.Named); ok {
		used[nameOf(named.Obj())] = true
	}
}

// noteMethod notes a method of an Example's own type that a stats handler has.
func noteMethod(used map[string]bool, obj types.Object) {
	if f, ok := obj.(*types.Func); ok && f.Signature().Recv() != nil && (f.Name() == "TagRPC" || f.Name() == "HandleRPC") {
		used["stats.Handler."+f.Name()] = true
	}
}

// nameOf returns package.Name or package.Type.Method of what the module exports.
func nameOf(obj types.Object) string {
	if obj.Pkg() == nil || !strings.HasPrefix(obj.Pkg().Path(), module) || !obj.Exported() {
		return ""
	}
	f, ok := obj.(*types.Func)
	if !ok || f.Signature().Recv() == nil {
		return obj.Pkg().Name() + "." + obj.Name()
	}
	recv := f.Origin().Signature().Recv().Type()
	if p, ok := recv.(*types.Pointer); ok {
		recv = p.Elem()
	}
	named, ok := recv.(*types.Named)
	if !ok {
		return ""
	}
	return obj.Pkg().Name() + "." + named.Obj().Name() + "." + f.Name()
}

// namesOf returns what a package exports: names, and methods of types and interfaces.
func namesOf(pkg *types.Package) (names []string) {
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		names = append(names, nameOf(obj))
		typ, ok := obj.(*types.TypeName)
		if !ok {
			continue
		}
		named := typ.Type().(*types.Named)
		for m := range named.Methods() {
			names = append(names, nameOf(m))
		}
		if i, ok := named.Underlying().(*types.Interface); ok {
			for m := range i.ExplicitMethods() {
				names = append(names, pkg.Name()+"."+name+"."+m.Name())
			}
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "" || !ast.IsExported(n[strings.LastIndexByte(n, '.')+1:]) })
	slices.Sort(names)
	return names
}
