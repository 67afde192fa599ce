package rpc_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packages are what the samples of the documents use, by the names under which
// they do.
var packages = map[string]string{
	"atomic":   "sync/atomic",
	"cid":      "github.com/ipfs/go-cid",
	"context":  "context",
	"errors":   "errors",
	"fmt":      "fmt",
	"host":     "github.com/libp2p/go-libp2p/core/host",
	"libp2p":   "github.com/libp2p/go-libp2p",
	"network":  "github.com/libp2p/go-libp2p/core/network",
	"log":      "log",
	"peer":     "github.com/libp2p/go-libp2p/core/peer",
	"protocol": "github.com/libp2p/go-libp2p/core/protocol",
	"rcmgr":    "github.com/libp2p/go-libp2p/p2p/host/resource-manager",
	"rpc":      "github.com/libp2p/go-libp2p-gorpc",
	"rpctest":  "github.com/libp2p/go-libp2p-gorpc/rpctest",
	"fan":      "github.com/libp2p/go-libp2p-gorpc/fan",
	"codes":    "github.com/libp2p/go-libp2p-gorpc/codes",
	"policy":   "github.com/libp2p/go-libp2p-gorpc/policy",
	"describe": "github.com/libp2p/go-libp2p-gorpc/describe",
	"slog":     "log/slog",
	"stats":    "github.com/libp2p/go-libp2p-gorpc/stats",
	"testing":  "testing",
	"time":     "time",
	"iter":     "iter",
	"watch":    "github.com/libp2p/go-libp2p-gorpc/watch",
}

// understood is what the samples leave to their readers to understand.
var understood = map[string]string{
	"client":     `var client *rpc.Client`,
	"ctx":        `var ctx context.Context`,
	"dest":       `var dest _peer.ID`,
	"err":        `var err error`,
	"host":       `var host _host.Host`,
	"item":       `var item Item`,
	"members":    `var members interface{ Contains(_peer.ID) bool }`,
	"operator":   `var operator _peer.ID`,
	"peer":       `var peer _peer.ID`,
	"peers":      `var peers []_peer.ID`,
	"repair":     `func repair(_peer.ID, Item) {}`,
	"replicas":   `var replicas []_peer.ID`,
	"rules":      `var rules policy.Rules`,
	"protocolID": `var protocolID protocol.ID`,
	"server":     `var server *rpc.Server`,
	"t":          `var t *testing.T`,
	"trusted":    `func trusted(_peer.ID) bool { return true }`,
	"subscribe":  `func subscribe(Filter, func(context.Context, Pin) bool) (leave func()) { return nil }`,
	"use":        `func use(...any) {}`,

	"Filter":  `type Filter struct{}`,
	"Item":    `type Item struct{}`,
	"Pin":     `type Pin struct{}`,
	"Pins":    `type Pins struct{ byName map[string]Pin }`,
	"Query":   `type Query struct{}`,
	"Receipt": `type Receipt struct{ ID int }`,
	"State":   `type State struct{}`,

	"Put":     `var Put = rpc.NewMethod[Item, struct{}]("Store", "Put")`,
	"Status":  `var Status = rpc.NewMethod[Query, State]("Node", "Status")`,
	"Unpin":   `var Unpin = rpc.NewMethod[string, struct{}]("Pins", "Unpin")`,
	"Version": `var Version = rpc.NewMethod[struct{}, string]("Node", "Version")`,
	"Watch":   `var Watch = rpc.NewServerStream[Filter, Pin]("Pins", "Watch")`,
}

// TestDocumentsSamplesCompile sees to it that the Go code in docs is Go, and
// that what it uses of this module is there and is used by its types.
func TestDocumentsSamplesCompile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	check := newSampleChecker(t)
	samples := 0
	for _, file := range files {
		switch filepath.Base(file) {
		case "protobuf.md": // of another module, which has an example
			continue
		case "components.md":
			continue // parts of files that are compiled: TestComponentsQuoteTheExample
		}
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range strings.Split(string(doc), "```go\n")[1:] {
			sample, _, _ = strings.Cut(sample, "```")
			samples++
			for _, err := range check(sample) {
				t.Errorf("%s: %v in\n%s", file, err, sample)
			}
		}
	}
	if samples < 15 {
		t.Errorf("only %d samples were found", samples)
	}
}

// The check finds what would be wrong.
func TestWrongSamplesDoNotCompile(t *testing.T) {
	t.Parallel()
	check := newSampleChecker(t)
	for sample, want := range map[string]string{
		"server := rpc.NewServer(host, ":                                     "expected",
		"rpc.NewServr(host, protocolID)":                                     "undefined: rpc.NewServr",
		"rpctest.Mock(t)":                                                    "undefined: rpctest.Mock",
		"var l = rpc.Limits{Size: 1}":                                        "unknown field Size",
		"client.CallContext(ctx, dest, \"Pins\", \"Get\", nil)":              "not enough arguments",
		"state, err := Status.Call(ctx, client, dest, 7)\n_, _ = state, err": "cannot use 7",
		"stop(server)": "undefined: stop",
	} {
		errs := check(sample)
		if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", sample, err, want)
		}
	}
}

// newSampleChecker returns a function that says what is wrong with a sample.
func newSampleChecker(t *testing.T) func(sample string) []error {
	t.Helper()
	compiled := exportFiles(t, slices.Sorted(maps.Values(packages))...)
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(compiled[path])
	})
	return func(sample string) []error { return checkSample(sample, imports) }
}

func checkSample(sample string, imports types.Importer) []error {
	fset := token.NewFileSet()
	file, err := parseSample(fset, sample)
	if err != nil {
		return []error{err}
	}
	// What is undefined may be understood, which may need something else that is.
	declared := make(map[string]bool)
	for {
		errs := typeErrors(fset, []*ast.File{file, parseUnderstood(fset, declared)}, imports)
		before := len(declared)
		for _, err := range errs {
			if name, ok := strings.CutPrefix(err.Msg, "undefined: "); ok && understood[name] != "" {
				declared[name] = true
			}
		}
		if len(declared) == before {
			all := make([]error, len(errs))
			for i, err := range errs {
				all[i] = errors.New(err.Msg)
			}
			return all
		}
	}
}

// ofParts is what is wrong with code only because it is a part of a program, beside
// what is not used, which is a soft error.
var ofParts = regexp.MustCompile(`^(too many return values|missing return)`)

func typeErrors(fset *token.FileSet, files []*ast.File, imports types.Importer) (errs []types.Error) {
	conf := types.Config{Importer: imports, Error: func(err error) {
		if e := err.(types.Error); !e.Soft && !ofParts.MatchString(e.Msg) {
			errs = append(errs, e)
		}
	}}
	_, _ = conf.Check("sample", fset, files, nil) // its error is the first of these
	return errs
}

// parseSample makes a file of a sample, which is one without its imports,
// declarations, or statements.
func parseSample(fset *token.FileSet, sample string) (*ast.File, error) {
	if first, rest, _ := strings.Cut(sample, "\n"); strings.HasPrefix(first, "package ") {
		sample = rest
	}
	head := "package sample\n"
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if regexp.MustCompile(`(^|[^.\w])` + name + `\.[A-Z]`).MatchString(sample) {
			head += fmt.Sprintf("import %s %q\n", name, packages[name])
		}
	}
	file, err := parser.ParseFile(fset, "sample", head+sample, parser.SkipObjectResolution)
	if err == nil {
		return file, nil
	}
	return parser.ParseFile(fset, "sample", head+"func _() {\n"+sample+"\n}\n", parser.SkipObjectResolution)
}

func parseUnderstood(fset *token.FileSet, names map[string]bool) *ast.File {
	code := "package sample\n"
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if name == "host" || name == "peer" { // of which there are variables
			code += fmt.Sprintf("import _%s %q\n", name, packages[name])
		} else {
			code += fmt.Sprintf("import %s %q\n", name, packages[name])
		}
	}
	for name := range names {
		code += understood[name] + "\n"
	}
	file, err := parser.ParseFile(fset, "understood", code, parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	return file
}

// TestComponentsQuoteTheExample sees to it that the Go code in
// docs/components.md is that of examples/cluster. The first line of a sample
// names its file; "// ..." stands for lines that are left out.
func TestComponentsQuoteTheExample(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("examples/cluster"); errors.Is(err, fs.ErrNotExist) {
		return // a copy of this module alone: the example is another
	}
	doc, err := os.ReadFile("docs/components.md")
	if err != nil {
		t.Fatal(err)
	}
	samples := strings.Split(string(doc), "```go\n")[1:]
	if len(samples) < 10 {
		t.Fatalf("only %d samples were found", len(samples))
	}
	for _, sample := range samples {
		sample, _, _ = strings.Cut(sample, "```")
		first, code, _ := strings.Cut(sample, "\n")
		name, ok := strings.CutPrefix(first, "// ")
		if !ok || !strings.HasPrefix(name, "examples/cluster/") {
			t.Errorf("a sample begins with %q, which names no file", first)
			continue
		}
		file, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range quotedParts(code) {
			if !strings.Contains("\n"+string(file), "\n"+part+"\n") {
				t.Errorf("%s does not have the lines\n%s", name, part)
			}
		}
	}
}

// quotedParts are the lines of a sample between those that say that something
// is left out.
func quotedParts(code string) (parts []string) {
	var part []string
	for _, line := range append(strings.Split(code, "\n"), "// ...") {
		if strings.TrimSpace(line) != "// ..." {
			part = append(part, line)
			continue
		}
		if text := strings.Trim(strings.Join(part, "\n"), "\n"); text != "" {
			parts = append(parts, text)
		}
		part = nil
	}
	return parts
}
