package rpc_test

import (
	"context"
	"fmt"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

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
			return "", &rpc.Error{Code: rpc.CodeUnavailable, Message: "still starting"}
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
