// Package structure_test holds the module to its own architecture: what may
// import what, how large things may become, and that the way of a call is as
// docs/architecture.md says. It reads sources only.
package structure_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/libp2p/go-libp2p-gorpc"
	root   = "../.."
)

// The budgets.
const (
	maxRootFiles     = 36
	maxRootLines     = 6000
	maxFileLines     = 400
	maxFunctionLines = 60
)

// allowed says which packages of the module's internal folders a package may
// import, by their paths below the module. What is not listed may be imported by
// anybody who is above it: the root, rpctest, and test.
var allowed = map[string][]string{
	"internal/msgpack":       {},
	"internal/account":       {},
	"internal/direct":        {},
	"internal/wire":          {"internal/msgpack", "internal/account"},
	"internal/mux":           {"internal/account", "internal/yield"},
	"internal/yield":         {},
	"internal/travels":       {},
	"internal/codec":         {"internal/account", "internal/msgpack", "internal/direct", "internal/travels"},
	"internal/shape":         {"internal/travels"},
	"internal/flow":          {"internal/codec", "internal/account", "internal/yield"},
	"internal/call":          {"codes", "state", "internal/account", "internal/codec", "internal/flow", "internal/msgpack", "internal/tally", "internal/wire"},
	"internal/tally":         {"codes", "state", "internal/account", "internal/wire"},
	"internal/stream":        {"codes", "internal/account", "internal/call", "internal/codec", "internal/flow", "internal/msgpack", "internal/wire"},
	"internal/carry":         append([]string{"internal/carry/wire", "internal/carry/session"}, below...),
	"internal/many":          {"codes", "internal/call", "internal/flow"},
	"fan":                    {"internal/many"},
	"internal/admit":         {"codes", "internal/call"},
	"internal/handlers":      {},
	"internal/live":          {},
	"internal/record":        {"stats"},
	"internal/carry/local":   below,
	"internal/carry/wire":    below,
	"internal/carry/session": below,
	"stats":                  {},
	"codes":                  {},
	"state":                  {},
	"policy":                 {""},
	"forms":                  {"internal/codec"},
	"watch":                  {"", "codes", "internal/call"},
	"health":                 {"", "codes", "watch"},
	"debug":                  {"", "state", "watch", "internal/admit"},
	"describe":               {"", "codes", "internal/codec", "internal/shape"},
}

// below is what a carrier may import: everything under it, no other carrier, not
// the root.
var below = []string{
	"codes", "internal/account", "internal/admit", "internal/call", "internal/codec", "internal/direct", "internal/flow", "internal/live", "internal/msgpack", "internal/mux", "internal/stream", "internal/tally", "internal/wire", "state",
}

// source is one file of the module.
type source struct {
	path string // below the module's folder
	text []byte
	tree *ast.File
	set  *token.FileSet
}

func (s *source) dir() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s *source) lines() int { return bytes.Count(s.text, []byte("\n")) }

// sources returns the files that are no tests, of all the repository's modules.
func sources(t *testing.T) []*source {
	t.Helper()
	var all []*source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, path, text, parser.ParseComments)
		all = append(all, &source{filepath.ToSlash(rel), text, tree, set})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range sources(t) {
		may, ruled := allowed[s.dir()]
		if strings.HasPrefix(s.dir(), "internal/") && !ruled {
			t.Errorf("%s: its package is in no storey: add it to this test's table, and to docs/architecture.md", s.path)
		}
		seen[s.dir()] = true
		for _, spec := range s.tree.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			own, ok := strings.CutPrefix(path, module)
			if !ok && ofOtherModule(s) {
				continue
			}
			if !ok {
				if path == "github.com/ugorji/go/codec" && s.dir() != "internal/codec" && s.dir() != "test/rig" {
					t.Errorf("%s imports the codec library, which only internal/codec may", s.path)
				}
				if path == "unsafe" && !slices.Contains([]string{"internal/direct", "internal/codec", "internal/account"}, s.dir()) {
					t.Errorf("%s imports unsafe, which only internal/direct, internal/codec and internal/account may", s.path)
				}
				continue
			}
			own = strings.TrimPrefix(own, "/")
			if ruled && !slices.Contains(may, own) {
				t.Errorf("%s imports %q, which is not below it", s.path, path)
			}
			if strings.HasPrefix(own, "test/") && !strings.HasPrefix(s.dir(), "test/") {
				t.Errorf("%s imports %q, which is for tests", s.path, path)
			}
		}
	}
	for dir := range allowed {
		if !seen[dir] {
			t.Errorf("there is no package %s, which the table of storeys names", dir)
		}
	}
}

// ofOtherModule reports whether a file is of one of the repository's other modules,
// which may need anything.
func ofOtherModule(s *source) bool {
	for dir := s.dir(); dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}

func TestFilesAndFunctionsAreSmall(t *testing.T) {
	files, lines := 0, 0
	for _, s := range sources(t) {
		if s.dir() == "." {
			files, lines = files+1, lines+s.lines()
		}
		if n := s.lines(); n > maxFileLines {
			t.Errorf("%s has %d lines, and %d may be", s.path, n, maxFileLines)
		}
		for _, d := range s.tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, and %d may be", s.path, f.Name.Name, n, maxFunctionLines)
			}
		}
	}
	if files > maxRootFiles || lines > maxRootLines {
		t.Errorf("the root has %d source files of %d lines together, and %d of %d may be", files, lines, maxRootFiles, maxRootLines)
	}
}
