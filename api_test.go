package rpc_test

import (
	"context"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// What programs written for v0.6 use, with its exact types: this file does not
// compile without it.
var (
	_ func(host.Host, protocol.ID, ...rpc.ServerOption) *rpc.Server              = rpc.NewServer
	_ func(host.Host, protocol.ID, ...rpc.ClientOption) *rpc.Client              = rpc.NewClient
	_ func(host.Host, protocol.ID, *rpc.Server, ...rpc.ClientOption) *rpc.Client = rpc.NewClientWithServer

	_ rpc.ServerOption = func(*rpc.Server) {}
	_ rpc.ClientOption = func(*rpc.Client) {}

	_ func(*rpc.Server) peer.ID            = (*rpc.Server).ID
	_ func(*rpc.Server, any) error         = (*rpc.Server).Register
	_ func(*rpc.Server, string, any) error = (*rpc.Server).RegisterName

	_ func(*rpc.Client) peer.ID = (*rpc.Client).ID

	_ func(c *rpc.Client, dest peer.ID, svc, method string, args, reply any) error                                      = (*rpc.Client).Call
	_ func(c *rpc.Client, ctx context.Context, dest peer.ID, svc, method string, args, reply any) error                 = (*rpc.Client).CallContext
	_ func(c *rpc.Client, dest peer.ID, svc, method string, args, reply any, done chan *rpc.Call) error                 = (*rpc.Client).Go
	_ func(c *rpc.Client, ctx context.Context, dest peer.ID, svc, m string, args, reply any, done chan *rpc.Call) error = (*rpc.Client).GoContext
	_ func(*rpc.Client, []context.Context, []peer.ID, string, string, any, []any) []error                               = (*rpc.Client).MultiCall
	_ func(*rpc.Client, []context.Context, []peer.ID, string, string, any, []any, []chan *rpc.Call) error               = (*rpc.Client).MultiGo
	_ func(c *rpc.Client, ctx context.Context, dest peer.ID, svc, method string, argsChan, repliesChan any) error       = (*rpc.Client).Stream
	_ func(c *rpc.Client, ctx context.Context, dests []peer.ID, svc, method string, argsChan, repliesChan any) []error  = (*rpc.Client).MultiStream
	_ func(rpc.ServiceID) string                                                                                        = rpc.ServiceID.String
	_ func(error) bool                                                                                                  = rpc.IsRPCError
	_ func(error) bool                                                                                                  = rpc.IsServerError
	_ func(error) bool                                                                                                  = rpc.IsClientError
	_ func(error) bool                                                                                                  = rpc.IsAuthorizationError
	_ func(map[peer.ID]map[string]bool) func(peer.ID, string, string) bool                                              = rpc.AuthorizeWithMap
	_ func(func(peer.ID, string, string) bool) rpc.ServerOption                                                         = rpc.WithAuthorizeFunc
	_ func(stats.Handler) rpc.ServerOption                                                                              = rpc.WithServerStatsHandler
	_ func(stats.Handler) rpc.ClientOption                                                                              = rpc.WithClientStatsHandler
	_ func(int) rpc.ServerOption                                                                                        = rpc.WithStreamBufferSize
	_ func(int) rpc.ClientOption                                                                                        = rpc.WithMultiStreamBufferSize
	_ func(context.Context) (peer.ID, error)                                                                            = rpc.GetRequestSender
	_ func(stats.Handler, context.Context, *stats.RPCTagInfo) context.Context                                           = stats.Handler.TagRPC
	_ func(stats.Handler, context.Context, stats.RPCStats)                                                              = stats.Handler.HandleRPC
	_ func(stats.RPCStats) bool                                                                                         = stats.RPCStats.IsClient
	_ []stats.RPCStats                                                                                                  = []stats.RPCStats{new(stats.Begin), new(stats.InPayload), new(stats.OutPayload), new(stats.End)}
)

// Constants: an array's length is part of its type.
var (
	_ [256]struct{} = [rpc.MaxServiceIDLength]struct{}{}
	_ [0]struct{}   = [rpc.NonRPCErr]struct{}{}
	_ [1]struct{}   = [rpc.ServerErr]struct{}{}
	_ [2]struct{}   = [rpc.ClientErr]struct{}{}
	_ [3]struct{}   = [rpc.AuthorizationErr]struct{}{}
)

func TestV06TypesHaveTheirFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		is     any
		fields map[string]reflect.Type
	}{
		{rpc.Call{}, map[string]reflect.Type{
			"Dest": reflect.TypeFor[peer.ID](), "SvcID": reflect.TypeFor[rpc.ServiceID](),
			"Args": reflect.TypeFor[any](), "Reply": reflect.TypeFor[any](),
			"StreamArgs": reflect.TypeFor[reflect.Value](), "StreamReplies": reflect.TypeFor[reflect.Value](),
			"Done": reflect.TypeFor[chan *rpc.Call](), "Error": reflect.TypeFor[error](),
		}},
		{rpc.ServiceID{}, map[string]reflect.Type{"Name": reflect.TypeFor[string](), "Method": reflect.TypeFor[string]()}},
		{rpc.Response{}, map[string]reflect.Type{
			"Service": reflect.TypeFor[rpc.ServiceID](), "Error": reflect.TypeFor[string](),
			"ErrType": reflect.TypeFor[rpc.ErrorType](), "Data": reflect.TypeFor[any](),
		}},
		{stats.RPCTagInfo{}, map[string]reflect.Type{"FullMethodName": reflect.TypeFor[string]()}},
		{stats.Begin{}, map[string]reflect.Type{
			"Client": reflect.TypeFor[bool](), "BeginTime": reflect.TypeFor[time.Time](),
			"IsClientStream": reflect.TypeFor[bool](), "IsServerStream": reflect.TypeFor[bool](),
		}},
		{stats.InPayload{}, payloadFields("RecvTime")},
		{stats.OutPayload{}, payloadFields("SentTime")},
		{stats.End{}, map[string]reflect.Type{
			"Client": reflect.TypeFor[bool](), "BeginTime": reflect.TypeFor[time.Time](),
			"EndTime": reflect.TypeFor[time.Time](), "Error": reflect.TypeFor[error](),
		}},
	} {
		typ := reflect.TypeOf(c.is)
		got := make(map[string]reflect.Type)
		for _, f := range reflect.VisibleFields(typ) {
			got[f.Name] = f.Type
		}
		if !reflect.DeepEqual(got, c.fields) {
			t.Errorf("%v has the fields %v, not %v", typ, got, c.fields)
		}
	}
}

func payloadFields(at string) map[string]reflect.Type {
	return map[string]reflect.Type{
		"Client": reflect.TypeFor[bool](), "Payload": reflect.TypeFor[any](), "Data": reflect.TypeFor[[]byte](),
		"Length": reflect.TypeFor[int](), "WireLength": reflect.TypeFor[int](), at: reflect.TypeFor[time.Time](),
	}
}

func TestV06ValuesAreKept(t *testing.T) {
	t.Parallel()
	if k := reflect.TypeFor[rpc.ErrorType]().Kind(); k != reflect.Int {
		t.Errorf("ErrorType is a %v", k)
	}
	if k := reflect.TypeFor[rpc.ContextKey]().Kind(); k != reflect.String {
		t.Errorf("ContextKey is a %v", k)
	}
	var key any = rpc.ContextKeyRequestSender
	if key != rpc.ContextKey("request_sender") {
		t.Errorf("ContextKeyRequestSender is %#v", key)
	}
	if s := (rpc.ServiceID{Name: "Name", Method: "Method"}).String(); s != "Name.Method" {
		t.Errorf("a ServiceID is %q", s)
	}
	if n := reflect.TypeFor[stats.RPCStats]().NumMethod(); n != 2 {
		t.Errorf("RPCStats has %d methods; it has IsClient, and one that keeps other types out", n)
	}
	// What v0.6 declared is a type of its own, not another name for one.
	for _, typ := range []reflect.Type{
		reflect.TypeFor[rpc.ServerOption](), reflect.TypeFor[rpc.ClientOption](),
		reflect.TypeFor[rpc.ErrorType](), reflect.TypeFor[rpc.ContextKey](),
	} {
		if typ.PkgPath() != "github.com/libp2p/go-libp2p-gorpc" {
			t.Errorf("%v is of package %q", typ, typ.PkgPath())
		}
	}
}

var updateAPI = flag.Bool("update", false, "write testdata/api.txt anew")

const (
	apiFile      = "testdata/api.txt"
	mostExported = 90  // package-level names of the root
	v06Mark      = " // v0.6"
)

func TestExportedNamesAreThoseOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, dir := range []string{".", "codes", "describe", "fan", "policy", "rpctest", "stats"} {
		names, top, undocumented := exportedOf(t, dir)
		for _, u := range undocumented {
			t.Errorf("%s has no doc comment", u)
		}
		if dir == "." && top > mostExported {
			t.Errorf("the root exports %d package-level names, and %d may be: put what is new into a package of its own, as fan and policy are, or take away a name whose meaning another has (CONTRIBUTING.md)", top, mostExported)
		}
		lines = append(lines, names...)
	}
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
