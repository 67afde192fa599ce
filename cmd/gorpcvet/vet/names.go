package vet

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// library is the path of the module whose names this file knows. All names of it
// that the analyzer looks for stand here.
const library = "github.com/libp2p/go-libp2p-gorpc"

// none is a place that a form of call does not have.
const none = -1

// form says where the arguments of a function stand that make a call by name, or
// register a receiver.
type form struct {
	Register                bool // it registers, and Args is the receiver
	Streaming               bool
	Many                    bool // replies are a slice, and Done are channels
	Ctx, Dest               int
	Service, Method         int // none where the names are fixed
	Args, Reply, Done       int
	ServiceName, MethodName string // where they are fixed
}

var callsByName = map[string]form{
	"Call":        {Ctx: none, Dest: 0, Service: 1, Method: 2, Args: 3, Reply: 4, Done: none},
	"CallContext": {Ctx: 0, Dest: 1, Service: 2, Method: 3, Args: 4, Reply: 5, Done: none},
	"Go":          {Ctx: none, Dest: 0, Service: 1, Method: 2, Args: 3, Reply: 4, Done: 5},
	"GoContext":   {Ctx: 0, Dest: 1, Service: 2, Method: 3, Args: 4, Reply: 5, Done: 6},
	"MultiCall":   {Many: true, Ctx: 0, Dest: 1, Service: 2, Method: 3, Args: 4, Reply: 5, Done: none},
	"MultiGo":     {Many: true, Ctx: 0, Dest: 1, Service: 2, Method: 3, Args: 4, Reply: 5, Done: 6},
	"Stream":      {Streaming: true, Ctx: 0, Dest: 1, Service: 2, Method: 3, Args: 4, Reply: 5, Done: none},
	"MultiStream": {Streaming: true, Many: true, Ctx: 0, Dest: 1, Service: 2, Method: 3, Args: 4, Reply: 5, Done: none},
}

var registrations = map[string]form{
	"Register":     {Register: true, Ctx: none, Dest: none, Service: none, Method: none, Args: 0, Reply: none, Done: none},
	"RegisterName": {Register: true, Ctx: none, Dest: none, Service: 0, Method: none, Args: 1, Reply: none, Done: none},
	"RegisterFunc": {Register: true, Ctx: none, Dest: none, Service: 0, Method: 1, Args: 2, Reply: none, Done: none},
}

// declarations are the functions that make typed methods, and whether these stream.
var declarations = map[string]bool{
	"NewMethod": false, "NewServerStream": true, "NewClientStream": true, "NewDuplex": true,
}

var typedMethods = map[string]bool{"Method": true, "ServerStream": true, "ClientStream": true, "Duplex": true}

// openers make calls that want to be closed; enders end them.
var (
	openers = map[string]bool{"Open": true, "OpenAll": true}
	enders  = map[string]map[string]bool{
		"ClientStreamCall": {"Close": true, "Finish": true},
		"fan.ClientStream": {"Close": true, "Finish": true},
		"DuplexCall":       {"Close": true, "All": true, "Receive": true},
		"fan.Duplex":       {"Close": true, "All": true},
	}
)

// dropping are the methods whose errors must not be dropped.
var dropping = map[string]map[string]bool{
	"Server": {"Register": true, "RegisterName": true, "RegisterFunc": true},
	"Client": {"MultiCall": true, "MultiStream": true},
	"Method": {"Handle": true}, "ServerStream": {"Handle": true}, "ClientStream": {"Handle": true}, "Duplex": {"Handle": true},
}

// policies are the types that map names of methods to who may call them: where they
// have stood, and where they stand.
var policies = map[string]bool{
	library + ".Policy": true, library + "/policy.Rules": true, library + "/policy.Policy": true, library + "/policy.Map": true,
}

// ownServices are registered by the library itself; their names begin so.
const ownServices = "rpc."

const (
	authorizeWithMap = "AuthorizeWithMap"
	rpctest          = "rpctest"  // the package for tests
	forms            = "forms"    // the package for types of another encoding
	protorpc         = "protorpc" // that of protobuf's messages
)

// IsLibrary reports whether a path is that of the library's root.
func IsLibrary(path string) bool { return unvendored(path) == library }

// unvendored is the path of a package of which a program may have a copy in a folder
// vendor: before modules that was part of the path.
func unvendored(path string) string {
	if at := strings.LastIndex("/"+path, "/vendor/"); at >= 0 {
		return path[at+len("vendor/"):]
	}
	return path
}

// callee is what a call calls, of the library.
type callee struct {
	pkg  string // below the library's path, empty for the root
	recv string // the name of the receiver's type
	name string
}

// calledFunc returns the function or method that a call calls, if that shows.
func calledFunc(info *types.Info, call *ast.CallExpr) *types.Func {
	f, _ := typeutil.Callee(info, call).(*types.Func)
	if f != nil {
		f = f.Origin()
	}
	return f
}

// libraryCallee returns what of the library f is.
func libraryCallee(f *types.Func) (c callee, ok bool) {
	if f == nil || f.Pkg() == nil {
		return c, false
	}
	switch path := unvendored(f.Pkg().Path()); path {
	case library:
	case library + "/" + rpctest:
		c.pkg = rpctest
	case library + "/" + forms:
		c.pkg = forms
	default:
		return c, false
	}
	c.name = f.Name()
	if r := f.Signature().Recv(); r != nil {
		if named := namedOf(r.Type()); named != nil {
			c.recv = named.Obj().Name()
		}
	}
	return c, true
}

// namedOf returns the named type that t is or points to.
func namedOf(t types.Type) *types.Named {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	named, _ := t.(*types.Named)
	return named
}

// libraryType returns the name of a type of the library's root, or of its package fan,
// that t is or points to.
func libraryType(t types.Type) (name string, args *types.TypeList) {
	named := namedOf(t)
	if named == nil || named.Obj().Pkg() == nil {
		return "", nil
	}
	path, many := strings.CutSuffix(named.Obj().Pkg().Path(), "/fan")
	switch {
	case !IsLibrary(path):
		return "", nil
	case many:
		return "fan." + named.Obj().Name(), named.TypeArgs()
	}
	return named.Obj().Name(), named.TypeArgs()
}

// uses reports whether a package can see the library at all.
func uses(pkg *types.Package) bool {
	seen := make(map[*types.Package]bool)
	var reaches func(p *types.Package) bool
	reaches = func(p *types.Package) bool {
		if seen[p] {
			return false
		}
		seen[p] = true
		if IsLibrary(p.Path()) {
			return true
		}
		for _, q := range p.Imports() {
			if reaches(q) {
				return true
			}
		}
		return false
	}
	return reaches(pkg)
}
