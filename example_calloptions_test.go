package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/codes"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Options are given to a client, a method or a call: the nearest counts.
func ExampleCallOption() {
	who := rpc.NewMethod[string, string]("Greeter", "Who", rpc.CallTimeout(5*time.Second))
	server := rpc.NewServer(nil, "/greeter/1.0")
	err := who.Handle(server, func(ctx context.Context, _ string) (string, error) {
		deadline, _ := ctx.Deadline()
		return fmt.Sprint("within ", time.Until(deadline).Round(time.Second)), nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server, rpc.WithCallOptions(rpc.CallTimeout(time.Minute)))

	ctx := context.Background()
	fmt.Println(who.Call(ctx, client, "", ""))
	fmt.Println(who.Call(ctx, client, "", "", rpc.CallTimeout(2*time.Second)))
	// Output:
	// within 5s <nil>
	// within 2s <nil>
}

// A call whose context forbids to dial fails at once where there is no connection, and
// one that waits is made when there is one.
func ExampleCallWait() {
	a, b, done := twoHosts()
	defer done()
	hello := rpc.NewMethod[string, string]("Greeter", "Hello")
	server := rpc.NewServer(b, "/greeter/1.0")
	defer server.Close()
	err := hello.Handle(server, func(_ context.Context, name string) (string, error) { return "hello " + name, nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClient(a, "/greeter/1.0")
	defer client.Close()

	_ = a.Network().ClosePeer(b.ID())
	_, err = hello.Call(network.WithNoDial(context.Background(), "only a look"), client, b.ID(), "Ada")
	fmt.Println(errors.Is(err, network.ErrNoConn))
	fmt.Println(hello.Call(context.Background(), client, b.ID(), "Ada", rpc.CallWait(true), rpc.CallTimeout(time.Minute)))
	// Output:
	// true
	// hello Ada <nil>
}

// A method that may run more than once for one call is retried when its server
// is not available, too. Interceptors see each attempt.
func ExampleCallRetry() {
	status := rpc.NewMethod[string, string]("Node", "Status",
		rpc.CallIdempotent(true),
		rpc.CallRetry(rpc.RetryPolicy{Attempts: 4, Backoff: 10 * time.Millisecond}))

	server := rpc.NewServer(nil, "/node/1.0")
	starting := 2
	err := status.Handle(server, func(context.Context, string) (string, error) {
		if starting--; starting >= 0 {
			return "", &rpc.Error{Code: codes.Unavailable, Message: "still starting"}
		}
		return "ready", nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/node/1.0", server, rpc.WithClientInterceptors(
		func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				err := next(ctx, call)
				fmt.Println("attempt", call.Attempt, err)
				return err
			}
		}))
	fmt.Println(status.Call(context.Background(), client, "", ""))
	// Output:
	// attempt 0 still starting
	// attempt 1 still starting
	// attempt 2 <nil>
	// ready <nil>
}
