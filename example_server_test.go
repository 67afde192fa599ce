package rpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func ExampleWithAuthorizeFunc() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/greeter/1.0", rpc.WithAuthorizeFunc(
		func(caller peer.ID, svc, method string) bool { return caller == "a friend" }))
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	var greeting string
	err := rpc.NewClient(a, "/greeter/1.0").Call(b.ID(), "Greeter", "Hello", "Ada", &greeting)
	fmt.Println(rpc.IsAuthorizationError(err), rpc.CodeOf(err))
	// Output: true PermissionDenied
}

func ExampleWithServerInterceptors() {
	logging := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			err := next(ctx, call)
			fmt.Println(call.ID(), call.Kind, call.Args, err)
			return err
		}
	}
	server := rpc.NewServer(nil, "/greeter/1.0", rpc.WithServerInterceptors(logging))
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	var greeting string
	_ = client.Call("", "Greeter", "Hello", "Ada", &greeting)
	// Output: Greeter.Hello unary Ada <nil>
}

func ExampleWithMethodConfig() {
	server := rpc.NewServer(nil, "/greeter/1.0",
		rpc.WithMethodConfig(rpc.ServiceID{Name: "Greeter"}, rpc.MethodConfig{HeedsContext: true}))
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var greeting string
	err := client.CallContext(ctx, "", "Greeter", "Hello", "Ada", &greeting) // in this goroutine
	fmt.Println(greeting, err)
	// Output: hello Ada <nil>
}

// A peer is no longer welcome: what it has under way ends.
func ExampleServer_Drop() {
	a, b, done := twoHosts()
	defer done()
	var banned sync.Map
	server := rpc.NewServer(b, "/clock/1.0", rpc.WithAuthorizeFunc(
		func(caller peer.ID, svc, method string) bool {
			_, is := banned.Load(caller)
			return !is
		}))
	defer server.Close()
	ticks := rpc.NewServerStream[int, int]("Clock", "Ticks")
	_ = ticks.Handle(server, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
		for ; ; n++ {
			if err := out.Send(ctx, n); err != nil {
				return err
			}
		}
	})

	client := rpc.NewClient(a, "/clock/1.0")
	defer client.Close()
	for n, err := range ticks.Call(context.Background(), client, b.ID(), 1) {
		if n == 100 {
			banned.Store(a.ID(), true)
			server.Drop(a.ID())
		}
		if err != nil {
			fmt.Println(rpc.CodeOf(err))
		}
	}
	// Output: PermissionDenied
}

func ExampleServer_Shutdown() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// Calls under way may finish; after ten seconds they are cancelled.
	fmt.Println(server.Shutdown(ctx))
	// Output: <nil>
}

// A server lists what it serves: for a page of documentation, say.
func ExampleServer_Services() {
	server := rpc.NewServer(nil, "/node/1.0")
	defer server.Close()
	_ = server.RegisterName("Node.Sums", Summer{})
	_ = server.RegisterFunc("Node", "Version", func(_ context.Context, _ struct{}, version *string) error {
		*version = "1.0"
		return nil
	})
	for _, service := range server.Services() {
		for _, method := range service.Methods {
			how := "one reply"
			if method.Kind == rpc.Streaming {
				how = "a stream"
			}
			fmt.Printf("%s.%s: %v, %v, %s\n", service.Name, method.Name, method.Args, method.Reply, how)
		}
		for name, reason := range service.LeftOut {
			fmt.Println(name, "cannot be called:", reason)
		}
	}
	// Output:
	// Node.Version: struct {}, string, one reply
	// Node.Sums.Sum: int, int, a stream
}

// A method value tells its names and its types, whatever its kind.
func ExampleMethod_Info() {
	var (
		get    = rpc.NewMethod[string, []byte]("Store", "Get")
		list   = rpc.NewServerStream[string, string]("Store", "List")
		upload = rpc.NewClientStream[[]byte, int]("Store", "Upload")
		sync   = rpc.NewDuplex[string, []byte]("Store", "Sync")
	)
	for id, info := range map[rpc.ServiceID]rpc.MethodInfo{
		get.ID(): get.Info(), list.ID(): list.Info(), upload.ID(): upload.Info(), sync.ID(): sync.Info(),
	} {
		fmt.Println(id, info.Kind, info.Kind == rpc.Unary, info.Args, info.Reply)
	}
	// Unordered output:
	// Store.Get unary true string []uint8
	// Store.List streaming false string string
	// Store.Upload streaming false []uint8 int
	// Store.Sync streaming false string []uint8
}

// The log of a server has the panics of its methods. A caller is told of them, and not
// their stack.
func ExampleWithServerLogger() {
	brief := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "stack" || a.Key == "peer" {
				return slog.Attr{} // what differs from run to run
			}
			return a
		},
	}))
	server := rpc.NewServer(nil, "/node/1.0", rpc.WithServerLogger(brief))
	defer server.Close()
	_ = server.RegisterFunc("Node", "Version", func(context.Context, struct{}, *string) error { panic("not yet") })
	client := rpc.NewClientWithServer(nil, "/node/1.0", server)
	defer client.Close()
	var version string
	err := client.Call("", "Node", "Version", struct{}{}, &version)
	fmt.Println(rpc.CodeOf(err))
	// Output:
	// level=ERROR msg="rpc: a method panicked" method=Node.Version panic="not yet"
	// Internal
}

// A peer of another version of the program calls what this one has no more.
func ExampleWithRefusedFunc() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/greeter/1.0",
		rpc.WithRefusedFunc(func(_ context.Context, call *rpc.CallInfo, err error) {
			fmt.Println(call.ID(), "of", call.Args, call.Peer == a.ID(), rpc.CodeOf(err))
		}))
	defer server.Close()
	_ = server.Register(Greeter{})
	client := rpc.NewClient(a, "/greeter/1.0")
	defer client.Close()
	var greeting string
	_ = client.Call(b.ID(), "Greeter", "Forget", 7, &greeting)
	// Output: Greeter.Forget of 7 true Unimplemented
}
