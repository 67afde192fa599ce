package accesslog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/accesslog"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// lines is a logger that leaves out what differs from run to run.
func lines() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" || a.Key == "peer" {
			return slog.Attr{}
		}
		return a
	}}))
}

var find = rpc.NewMethod[string, string]("Store", "Find")

func Example() {
	log := lines()
	server := rpc.NewServer(nil, "/store/1.0",
		rpc.WithServerInterceptors(accesslog.Interceptor(log, accesslog.Local(true), accesslog.Sample(2), accesslog.Slow(time.Minute))),
		rpc.WithRefusedFunc(accesslog.Refused(log, accesslog.Local(true))))
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	if err := find.Handle(server, func(_ context.Context, key string) (string, error) {
		if key == "" {
			return "", rpc.Errorf(codes.InvalidArgument, "an empty key")
		}
		return "value", nil
	}); err != nil {
		fmt.Println(err)
	}
	for _, key := range []string{"a", "b", "c", ""} {
		_, _ = find.Call(context.Background(), client, "", key)
	}
	var reply string
	_ = client.Call("", "Store", "Delete", "a", &reply)
	// Output:
	// level=INFO msg=rpc side=server method=Store.Find kind=unary code=OK local=true sample=2
	// level=INFO msg=rpc side=server method=Store.Find kind=unary code=OK local=true sample=2
	// level=WARN msg=rpc side=server method=Store.Find kind=unary code=InvalidArgument error="an empty key" local=true
	// level=WARN msg="rpc refused" side=server method=Store.Delete kind=unary code=Unimplemented error="rpc: can't find method Delete" local=true reason="no such method"
}

// Refused bounds its lines by itself. A program that counts in place of writing has the
// reasons by Reason.
func ExampleReason() {
	write := accesslog.Refused(lines(), accesslog.Local(true), accesslog.RefusedLines(1))
	refused := make(map[string]int)
	server := rpc.NewServer(nil, "/store/1.0", rpc.WithRefusedFunc(func(ctx context.Context, call *rpc.CallInfo, err error) {
		refused[accesslog.Reason(err)]++ // in a program: with a lock
		write(ctx, call, err)
	}))
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	for range 100 {
		_ = client.Call("", "Store", "Delete", "a", new(string))
	}
	fmt.Println(refused)
	// Output:
	// level=WARN msg="rpc refused" side=server method=Store.Delete kind=unary code=Unimplemented error="rpc: can't find service Store" local=true reason="no such method"
	// map[no such method:100]
}
