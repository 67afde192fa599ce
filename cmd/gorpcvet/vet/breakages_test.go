package vet_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet/testdata/program/api"
	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet/testdata/program/client"
	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet/testdata/program/server"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
	"github.com/libp2p/go-libp2p/core/peer"
)

// breakage is a change of the program that the compiler takes, and that breaks it.
type breakage struct {
	file     string
	old, new string
	found    string // the finding; empty for those that none tells of
	why      string // it is not found
}

const (
	theAPI    = "api/api.go"
	theServer = "server/server.go"
	theClient = "client/client.go"
)

var breakages = []breakage{
	// names
	{theClient, `PinsService, "Get"`, `PinsService, "get"`, "method", ""},
	{theClient, `PinsService, "Get"`, `PinsService, "Fetch"`, "method", ""},
	{theClient, `api.PinsService, "Get"`, `"Pin", "Get"`, "service", ""},
	{theClient, `api.PinsService, "Get"`, `"pins", "Get"`, "service", ""},
	{theClient, `api.PinsService, "Get"`, `api.StatusService, "Get"`, "method", ""},
	{theClient, `c.ask("Version"`, `c.ask("Versions"`, "method", ""},
	{theClient, `StatusService, "Version"`, `StatusService, "Check"`, "argument", ""},
	{theServer, `RegisterName(api.PinsService, `, `RegisterName("Pin", `, "service", ""},
	{theServer, `Register(Status{`, `RegisterName("Stat", Status{`, "service", ""},
	{theServer, "func (p *Pins) Get(", "func (p *Pins) Load(", "method", ""},
	{theServer, "func (p *Pins) Put(", "func (p *Pins) put(", "method", ""},
	{theServer, `"Pins.Put": true`, `"Pins.Set": true`, "policy", ""},
	{theServer, `"Status.Version": true`, `"Version": true`, "policy", ""},
	{theServer, `"Pins.List": true`, `"pins.List": true`, "policy", ""},
	// kinds
	{theClient, "c.Client.CallContext(ctx, dest, api.PinsService, \"Get\", name, &pin)", "c.Client.Stream(ctx, dest, api.PinsService, \"Get\", make(chan string), make(chan api.Pin))", "kind", ""},
	{theClient, `PinsService, "Put", pin, &n, done`, `PinsService, "List", pin, &n, done`, "kind", ""},
	{theClient, `Stream(ctx, dest, api.PinsService, "List"`, `Stream(ctx, dest, api.PinsService, "Get"`, "kind", ""},
	{theClient, `MultiStream(ctx, dests, api.PinsService, "List"`, `MultiStream(ctx, dests, api.PinsService, "Put"`, "kind", ""},
	{theServer, "func (p *Pins) List(", "func (p *Pins) List(ctx context.Context, f api.Filter, out *[]api.Pin) error { return nil }\n\nfunc (p *Pins) list(", "kind", ""},
	// arguments
	{theClient, `"Get", name, &pin`, `"Get", len(name), &pin`, "argument", ""},
	{theClient, `"Get", name, &pin`, `"Get", []string{name}, &pin`, "argument", ""},
	{theClient, `"Put", pin, &n); err`, `"Put", pin.Name, &n); err`, "argument", ""},
	{theClient, `"Put", pin, &n, done`, `"Put", &api.Filter{Prefix: pin.Name}, &n, done`, "argument", ""},
	{theClient, `c.ask("Check", parts,`, `c.ask("Check", parts[0],`, "argument", ""},
	{theClient, `"Version", struct{}{}, []any`, `"Version", 7, []any`, "argument", ""},
	{theClient, "make(chan api.Filter), make(chan api.Pin)\n\tgo func() {\n\t\tdefer close(args)\n\t\tfor _, f := range filters {\n\t\t\tselect {\n\t\t\tcase args <- f:", "make(chan string), make(chan api.Pin)\n\tgo func() {\n\t\tdefer close(args)\n\t\tfor _, f := range filters {\n\t\t\tselect {\n\t\t\tcase args <- f.Prefix:", "argument", ""},
	{theServer, "ctx context.Context, name string, pin *api.Pin) error {", "ctx context.Context, id int, pin *api.Pin) error {\n\tname := string(rune(id))", "argument", ""},
	{theServer, "in struct{}, v *api.Version", "in string, v *api.Version", "argument", ""},
	// replies
	{theClient, `"Get", name, &pin`, `"Get", name, pin`, "reply", ""},
	{theClient, `"Get", name, &pin`, `"Get", name, nil`, "reply", ""},
	{theClient, `"Get", name, &pin`, `"Get", name, &pin.Name`, "reply", ""},
	{theClient, `&versions[0], &versions[1]`, `&versions[0], versions[1]`, "reply", ""},
	{theClient, `&versions[0], &versions[1]`, `&versions[0], &versions[1].Text`, "reply", ""},
	{theServer, "pin *api.Pin, n *int) error {", "pin *api.Pin, count *string) error {\n\tn := new(int)", "reply", ""},
	{theServer, "v *api.Version) error {\n\tv.Text = \"1.0\"", "v *string) error {\n\t*v = \"1.0\"", "reply", ""},
	// channels
	{theClient, `api.PinsService, "List", args, replies) }()
	var pins []api.Pin
	for pin := range replies {
		pins = append(pins, pin)
	}
	return pins, <-result
}

// ListAll`, `api.PinsService, "List", args, (<-chan api.Pin)(replies)) }()
	var pins []api.Pin
	for pin := range replies {
		pins = append(pins, pin)
	}
	return pins, <-result
}

// ListAll`, "channel", ""},
	{theClient, `MultiStream(ctx, dests, api.PinsService, "List", args, replies)`, `MultiStream(ctx, dests, api.PinsService, "List", filter, replies)`, "channel", ""},
	{theClient, `Stream(ctx, dest, api.PinsService, "List", args, replies)`, `Stream(ctx, dest, api.PinsService, "List", nil, replies)`, "channel", ""},
	{theClient, "\tclose(args)\n", "", "openargs", ""},
	{theClient, "\t\tdefer close(args)\n", "", "openargs", ""},
	{theClient, "defer close(args)\n\t\tfor _, f := range filters {\n\t\t\tselect {\n\t\t\tcase args <- f:\n\t\t\tcase <-ctx.Done():\n\t\t\t\treturn\n\t\t\t}\n\t\t}\n", "for _, f := range filters {\n\t\t\tselect {\n\t\t\tcase args <- f:\n\t\t\tcase <-ctx.Done():\n\t\t\t\treturn\n\t\t\t}\n\t\t}\n\t\tclose(args)\n", "openargs", ""},
	// what panics in the caller
	{theClient, "make(chan *rpc.Call, 1)", "make(chan *rpc.Call)", "done", ""},
	{theClient, "[]context.Context{ctx, ctx}", "[]context.Context{ctx}", "lengths", ""},
	{theClient, "[]any{&versions[0], &versions[1]}", "[]any{&versions[0]}", "lengths", ""},
	// receivers
	{theServer, "&Pins{}); err", "Pins{}); err", "leftout", ""},
	{theServer, "func (p *Pins) Put(ctx context.Context, ", "func (p *Pins) Put(", "leftout", ""},
	{theServer, "out chan<- api.Pin) error", "out chan api.Pin) error", "leftout", ""},
	{theServer, "\tif err := s.Register(Status{h.ID()}); err != nil {\n\t\treturn nil, err\n\t}\n", "\ts.Register(Status{h.ID()})\n", "dropped", ""},
	{theServer, "Register(Status{h.ID()})", "Register(s)", "register", ""},
	// types
	{theAPI, "Tags  map[string]string", "Tags  map[string]func()", "travels", ""},
	{theAPI, "Max    int", "Max    int\n\tMatch  interface{ Match(string) bool }", "travels", ""},
	{theAPI, "type Version struct{ Text string }", "type Version struct{ Text string; Changed chan int }", "travels", ""},
	// lifetimes
	{theServer, "\twg.Wait()\n", "", "context", ""},
	// what does not show
	{theClient, `"Get", name, &pin`, `map[bool]string{true: "Gett"}[len(name) > 0], name, &pin`, "", "the name is computed while the program runs"},
	{theClient, `"Put", pin, &n); err`, `"Put", any(map[string]any{"Nam": pin.Name}), &n); err`, "", "a map's keys are known when it is sent"},
	{theServer, "*n = len(p.pins)\n", "", "", "the reply is left zero: what a method means does not show"},
	{theAPI, "Name  string\n\tDepth int\n\tAdded time.Time", "Name  string\n\tDepth int\n\tAdded time.Time `codec:\"-\"`", "", "the tag says that the field stays behind"},
}

// TestBreakages breaks a program of three packages, of which client and server do
// not import each other.
func TestBreakages(t *testing.T) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, "./testdata/program/...")
	if err != nil || packages.PrintErrors(pkgs) > 0 {
		t.Fatal(err)
	}
	if whole := findings(t, pkgs, vet.Options{}); len(whole) > 0 {
		t.Fatalf("of the whole program %q", whole)
	}
	tried, found := 0, 0
	for _, b := range breakages {
		broken, err := rechecked(pkgs, b)
		if err != nil {
			t.Errorf("%s, %q: %v", b.file, b.new, err)
			continue
		}
		tried++
		told := false
		for _, message := range findings(t, broken, vet.Options{}) {
			told = told || strings.HasPrefix(message, b.found+": ")
		}
		if told {
			found++
		} else if b.found != "" {
			t.Errorf("%s: %q for %q is not found", b.file, b.new, b.old)
		} else {
			t.Logf("%s: %q is not found: %s", b.file, b.new, b.why)
		}
	}
	t.Logf("%d of %d breakages are found", found, tried)
	if tried < 50 || found*50 < tried*45 {
		t.Errorf("%d of %d breakages are found", found, tried)
	}
}

// rechecked returns the packages with a change, as they were loaded otherwise.
func rechecked(pkgs []*packages.Package, b breakage) ([]*packages.Package, error) {
	known := make(map[string]*types.Package)
	packages.Visit(pkgs, nil, func(p *packages.Package) { known[p.PkgPath] = p.Types })
	var all []*packages.Package
	packages.Visit(pkgs, nil, func(p *packages.Package) {
		if strings.Contains(p.PkgPath, "testdata/program") {
			all = append(all, p)
		}
	})
	var again []*packages.Package
	for _, p := range all {
		n := *p
		n.Syntax = nil
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			source := string(text)
			if strings.HasSuffix(filepath.ToSlash(name), b.file) {
				if !strings.Contains(source, b.old) {
					return nil, os.ErrNotExist
				}
				source = strings.Replace(source, b.old, b.new, 1)
			}
			f, err := parser.ParseFile(p.Fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			n.Syntax = append(n.Syntax, f)
		}
		n.TypesInfo = &types.Info{
			Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object),
			Selections: make(map[*ast.SelectorExpr]*types.Selection), Scopes: make(map[ast.Node]*types.Scope), Instances: make(map[*ast.Ident]types.Instance),
			Implicits: make(map[ast.Node]types.Object),
		}
		checked, err := (&types.Config{Importer: imported(known)}).Check(p.PkgPath, p.Fset, n.Syntax, n.TypesInfo)
		if err != nil && !strings.Contains(err.Error(), "declared and not used") {
			return nil, err
		}
		n.Types = checked
		known[p.PkgPath] = checked
		again = append(again, &n)
	}
	return again, nil
}

type imported map[string]*types.Package

func (all imported) Import(path string) (*types.Package, error) {
	if p := all[path]; p != nil {
		return p, nil
	}
	return nil, os.ErrNotExist
}

// TestTheProgramWorks runs what TestBreakages breaks.
func TestTheProgramWorks(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	rpctest.Connect(t, hosts...)
	s, err := server.Serve(hosts[1], "/program/1", hosts[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	own, err := server.Serve(hosts[0], "/own/1", hosts[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	c := &client.Component{Client: rpc.NewClientWithServer(hosts[0], "/program/1", own)}
	t.Cleanup(func() { _ = c.Client.Close() })
	ctx, dest := context.Background(), hosts[1].ID()
	if n, err := c.Put(dest, &api.Pin{Name: "a", Tags: maps.Clone(map[string]string{"k": "v"})}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := c.PutLater(ctx, dest, &api.Pin{Name: "b"}); err != nil {
		t.Error(err)
	}
	if pin, err := c.Get(ctx, dest, "a"); pin.Tags["k"] != "v" || err != nil {
		t.Errorf("%+v, %v", pin, err)
	}
	if text, err := c.Own(); text != "1.0" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if ok, err := c.Check([]string{"a"}); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if v, errs := c.Versions(ctx, dest, dest); v[1].Text != "1.0" || errs[0] != nil {
		t.Errorf("%v, %v", v, errs)
	}
	if pins, err := c.List(ctx, dest, api.Filter{Max: 5}); len(pins) != 2 || err != nil {
		t.Errorf("%v, %v", pins, err)
	}
	if pins, errs := c.ListAll(ctx, []peer.ID{dest}, api.Filter{Max: 5}); len(pins) != 2 || errs[0] != nil {
		t.Errorf("%v, %v", pins, errs)
	}
}
