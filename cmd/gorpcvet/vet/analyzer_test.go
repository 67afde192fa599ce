package vet_test

import (
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/packages"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

const library = "github.com/libp2p/go-libp2p-gorpc"

// loaded returns packages of testdata, as analysistest loads them.
func loaded(t *testing.T, patterns ...string) []*packages.Package {
	t.Helper()
	cfg := &packages.Config{
		Mode: packages.LoadAllSyntax, Dir: analysistest.TestData(), Tests: true,
		Env: append(os.Environ(), "GOPATH="+analysistest.TestData(), "GO111MODULE=off", "GOWORK=off", "GOFLAGS="),
	}
	pkgs, err := packages.Load(cfg, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

// TestProgram reads packages together, as the command does: calls and
// registrations in packages that do not import each other among them.
func TestProgram(t *testing.T) {
	for name, patterns := range map[string][]string{
		"calls":        {"whole/..."},
		"receivers":    {"receivers"},
		"travelling":   {"travelling"},
		"encoded":      {"encoded"},
		"messages":     {"messages"},
		"lasting":      {"lasting"},
		"policies":     {"rules"},
		"outside":      {"outside"},
		"hidden names": {"hidden"},
		"generic":      {"generic"},
		"tests apart":  {"tests/..."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := vet.Program(loaded(t, patterns...), vet.Options{})
			analysistest.Run(t, analysistest.TestData(), a, patterns...)
		})
	}
}

// TestAnalyzer sees one package and, by facts, what that imports, as go vet does.
func TestAnalyzer(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), vet.Analyzer, "imports/server", "imports/client")
}

// TestMechanicalFixes applies the fixes of findings, each finding's by itself.
func TestMechanicalFixes(t *testing.T) {
	a := vet.Program(loaded(t, "fixes"), vet.Options{})
	analysistest.RunWithSuggestedFixes(t, analysistest.TestData(), a, "fixes")
}

func TestExternalServicesAreServedElsewhere(t *testing.T) {
	pkgs := loaded(t, "whole/...")
	for service, want := range map[string]bool{"Pinz": false, "Other": true} {
		found := false
		for _, message := range findings(t, pkgs, vet.Options{External: []string{service}}) {
			found = found || strings.HasPrefix(message, "service: ")
		}
		if found != want {
			t.Errorf("-external %s: a finding about service Pinz: %v", service, found)
		}
	}
}

// TestNamesAreTheLibrarys compares the stand-in that the testdata is written with,
// and so the names that the analyzer knows, with the library itself.
func TestNamesAreTheLibrarys(t *testing.T) {
	real, err := packages.Load(&packages.Config{Mode: packages.LoadTypes, Dir: filepath.Join("..", "..", "..")}, library, library+"/rpctest", library+"/fan")
	if err != nil {
		t.Fatal(err)
	}
	for i, stub := range loaded(t, library, library+"/rpctest", library+"/fan") {
		for _, name := range stub.Types.Scope().Names() {
			own, lib := stub.Types.Scope().Lookup(name), real[i].Types.Scope().Lookup(name)
			if !own.Exported() {
				continue
			}
			if lib == nil {
				t.Errorf("the library has no %s", name)
				continue
			}
			if f, ok := own.(*types.Func); ok && words(f) != words(lib) {
				t.Errorf("%s\nin the library: %s", words(f), words(lib))
			}
			named, ok := own.Type().(*types.Named)
			if !ok {
				continue
			}
			for i := range named.NumMethods() {
				m := named.Method(i)
				obj, _, _ := types.LookupFieldOrMethod(types.NewPointer(lib.Type()), true, lib.Pkg(), m.Name())
				if obj == nil || words(obj) != words(m) {
					t.Errorf("%s\nin the library: %v", words(m), obj)
				}
			}
		}
	}
}

// words are what is declared, without the names of parameters.
func words(obj types.Object) string {
	sig := obj.Type().(*types.Signature)
	var b strings.Builder
	b.WriteString(obj.Name())
	for _, tuple := range []*types.Tuple{sig.Params(), sig.Results()} {
		b.WriteString("(")
		for i := range tuple.Len() {
			b.WriteString(types.TypeString(tuple.At(i).Type(), func(p *types.Package) string { return p.Name() }) + ",")
		}
		b.WriteString(")")
	}
	return b.String()
}

// TestEveryFindingIsTold wants each finding that docs/vet.md names somewhere in
// testdata/src, whose packages have the right use beside the wrong one, and no other.
// TestMigration has the calls that -typed reports.
func TestEveryFindingIsTold(t *testing.T) {
	docs, err := os.ReadFile("../../../docs/vet.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllSubmatch(docs, -1) {
		named[string(row[1])] = string(row[1]) == "typed"
	}
	err = filepath.WalkDir(analysistest.TestData(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, want := range regexp.MustCompile("// want (?:package:.*|`([a-z]+): )").FindAllSubmatch(text, -1) {
			if name := string(want[1]); name != "" {
				if _, known := named[name]; !known {
					t.Errorf("%s: docs/vet.md does not name %s", path, name)
				}
				named[name] = true
			}
		}
		return err
	})
	if err != nil || len(named) < 17 {
		t.Errorf("%v, of %d findings", err, len(named))
	}
	for name, wanted := range named {
		if !wanted {
			t.Errorf("%s is wanted nowhere in testdata", name)
		}
	}
}
