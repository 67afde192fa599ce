package rpc_test

import (
	"context"
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

// v06API are the lines of testdata/api.txt that v0.6 has. They never change.
var v06API = strings.Split(strings.TrimSpace(`
rpc: const AuthorizationErr
rpc: const ClientErr
rpc: const ContextKeyRequestSender ContextKey
rpc: const MaxServiceIDLength
rpc: const NonRPCErr ErrorType
rpc: const ServerErr
rpc: field Call.Args any
rpc: field Call.Dest peer.ID
rpc: field Call.Done chan *Call
rpc: field Call.Error error
rpc: field Call.Reply any
rpc: field Call.StreamArgs reflect.Value
rpc: field Call.StreamReplies reflect.Value
rpc: field Call.SvcID ServiceID
rpc: field Response.Data any
rpc: field Response.ErrType ErrorType
rpc: field Response.Error string
rpc: field Response.Service ServiceID
rpc: field ServiceID.Method string
rpc: field ServiceID.Name string
rpc: func (*Client) Call(dest peer.ID, svc, method string, args, reply any) error
rpc: func (*Client) CallContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any) error
rpc: func (*Client) Go(dest peer.ID, svc, method string, args, reply any, done chan *Call) error
rpc: func (*Client) GoContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any, done chan *Call) error
rpc: func (*Client) ID() peer.ID
rpc: func (*Client) MultiCall(ctxs []context.Context, dests []peer.ID, svc, method string, args any, replies []any) []error
rpc: func (*Client) MultiGo(ctxs []context.Context, dests []peer.ID, svc, method string, args any, replies []any, dones []chan *Call) error
rpc: func (*Client) MultiStream(ctx context.Context, dests []peer.ID, svc, method string, argsChan, repliesChan any) []error
rpc: func (*Client) Stream(ctx context.Context, dest peer.ID, svc, method string, argsChan, repliesChan any) error
rpc: func (*Server) ID() peer.ID
rpc: func (*Server) Register(rcvr any) error
rpc: func (*Server) RegisterName(name string, rcvr any) error
rpc: func (ServiceID) String() string
rpc: func AuthorizeWithMap(m map[peer.ID]map[string]bool) func(caller peer.ID, svc, method string) bool
rpc: func GetRequestSender(ctx context.Context) (peer.ID, error)
rpc: func IsAuthorizationError(err error) bool
rpc: func IsClientError(err error) bool
rpc: func IsRPCError(err error) bool
rpc: func IsServerError(err error) bool
rpc: func NewClient(h host.Host, p protocol.ID, opts ...ClientOption) *Client
rpc: func NewClientWithServer(h host.Host, p protocol.ID, s *Server, opts ...ClientOption) *Client
rpc: func NewServer(h host.Host, p protocol.ID, opts ...ServerOption) *Server
rpc: func WithAuthorizeFunc(f func(caller peer.ID, svc, method string) bool) ServerOption
rpc: func WithClientStatsHandler(h stats.Handler) ClientOption
rpc: func WithMultiStreamBufferSize(size int) ClientOption
rpc: func WithServerStatsHandler(h stats.Handler) ServerOption
rpc: func WithStreamBufferSize(size int) ServerOption
rpc: type Call struct
rpc: type Client struct
rpc: type ClientOption func(*Client)
rpc: type ContextKey string
rpc: type ErrorType int
rpc: type Response struct
rpc: type Server struct
rpc: type ServerOption func(*Server)
rpc: type ServiceID struct
stats: field Begin.BeginTime time.Time
stats: field Begin.Client bool
stats: field Begin.IsClientStream bool
stats: field Begin.IsServerStream bool
stats: field End.BeginTime time.Time
stats: field End.Client bool
stats: field End.EndTime time.Time
stats: field End.Error error
stats: field InPayload.Client bool
stats: field InPayload.Data []byte
stats: field InPayload.Length int
stats: field InPayload.Payload any
stats: field InPayload.RecvTime time.Time
stats: field InPayload.WireLength int
stats: field OutPayload.Client bool
stats: field OutPayload.Data []byte
stats: field OutPayload.Length int
stats: field OutPayload.Payload any
stats: field OutPayload.SentTime time.Time
stats: field OutPayload.WireLength int
stats: field RPCTagInfo.FullMethodName string
stats: func (*Begin) IsClient() bool
stats: func (*End) IsClient() bool
stats: func (*InPayload) IsClient() bool
stats: func (*OutPayload) IsClient() bool
stats: method Handler.HandleRPC func(context.Context, RPCStats)
stats: method Handler.TagRPC func(context.Context, *RPCTagInfo) context.Context
stats: method RPCStats.IsClient func() bool
stats: type Begin struct
stats: type End struct
stats: type Handler interface
stats: type InPayload struct
stats: type OutPayload struct
stats: type RPCStats interface
stats: type RPCTagInfo struct
`), "\n")

// marked returns lines of the API with those of v0.6 marked.
func marked(lines []string) []string {
	all := slices.Clone(lines)
	for i, l := range all {
		if slices.Contains(v06API, l) {
			all[i] += v06Mark
		}
	}
	return all
}

// Programs written for v0.6 also have literals without names of fields, so that no
// field may be added.
func TestV06NamesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	lines, _, _ := exportedOf(t, ".")
	more, _, _ := exportedOf(t, "stats")
	for _, problem := range v06Problems(append(lines, more...)) {
		t.Error(problem)
	}
}

// v06Problems says what lines of the API break for programs written for v0.6.
func v06Problems(lines []string) (all []string) {
	structs := make(map[string]bool)
	for _, l := range v06API {
		if !slices.Contains(lines, l) {
			all = append(all, "v0.6 has it, and it must stay as it is there: "+l)
		}
		if pkg, typ, ok := strings.Cut(l, ": type "); ok && strings.HasSuffix(typ, " struct") {
			structs[pkg+": field "+strings.TrimSuffix(typ, " struct")] = true
		}
	}
	for _, l := range lines {
		typ, _, field := strings.Cut(l, ".")
		if field && structs[typ] && !slices.Contains(v06API, l) {
			all = append(all, "v0.6's struct has no such field, and must not get one: "+l)
		}
	}
	return all
}

// The test above notices what it is for.
func TestV06ProblemsAreFound(t *testing.T) {
	t.Parallel()
	if p := v06Problems(v06API); len(p) > 0 {
		t.Fatalf("v0.6 itself has %q", p)
	}
	with := func(old, changed string) []string {
		lines := slices.DeleteFunc(slices.Clone(v06API), func(l string) bool { return l == old })
		if len(lines) == len(v06API) && old != "" {
			t.Fatalf("v0.6 has no %q", old)
		}
		return append(lines, changed)
	}
	for what, lines := range map[string][]string{
		"a name that is gone":   with("rpc: const ServerErr", ""),
		"a method that is gone": with("rpc: func (ServiceID) String() string", ""),
		"another signature":     with("rpc: func IsRPCError(err error) bool", "rpc: func IsRPCError(err *Error) bool"),
		"another field":         with("rpc: field Call.Reply any", "rpc: field Call.Reply *any"),
		"a field more":          with("", "rpc: field ServiceID.Version int"),
		"a stats field more":    with("", "stats: field End.Attempt int"),
		"a struct no more":      with("rpc: type Response struct", "rpc: type Response interface"),
	} {
		if len(v06Problems(lines)) == 0 {
			t.Errorf("%s is not found", what)
		}
	}
}

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
