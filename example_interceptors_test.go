package rpc_test

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// A call interceptor sees a call once, those of the client see its attempts.
func ExampleWithCallInterceptors() {
	server := rpc.NewServer(nil, "/store/1.0")
	tries := 0
	_ = fetch.Handle(server, func(context.Context, string) (string, error) {
		if tries++; tries < 3 {
			return "", rpc.Errorf(codes.Unavailable, "not yet")
		}
		return "blue", nil
	})

	client := rpc.NewClientWithServer(nil, "/store/1.0", server,
		rpc.WithCallOptions(rpc.CallRetry(rpc.RetryPolicy{Attempts: 5, Backoff: 1}), rpc.CallIdempotent(true)),
		rpc.WithCallInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				err := next(ctx, call)
				fmt.Println(call.ID(), "was made", call.Attempts(), "times:", rpc.CodeOf(err))
				return err
			}
		}),
		rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				err := next(ctx, call)
				fmt.Println("attempt", call.Attempt, rpc.CodeOf(err))
				return err
			}
		}))
	defer client.Close()
	_, _ = fetch.Call(context.Background(), client, "", "colour")
	// Output:
	// attempt 0 Unavailable
	// attempt 1 Unavailable
	// attempt 2 OK
	// Store.Fetch was made 3 times: OK
}

// An interceptor looks at each item of a stream, and may end it.
func ExampleCallInfo_OnItem() {
	server := rpc.NewServer(nil, "/store/1.0", rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			call.OnItem(func(item any, sent bool) error {
				if key, ok := item.(string); ok && !sent && key == "" {
					return rpc.Errorf(codes.InvalidArgument, "an empty key")
				}
				return nil
			})
			return next(ctx, call)
		}
	}))
	_ = watch.Handle(server, func(ctx context.Context, in *rpc.Receiver[string], out *rpc.Sender[string]) error {
		for key, err := range in.All(ctx) {
			if err != nil {
				return err
			}
			if err := out.Send(ctx, "watching "+key); err != nil {
				return err
			}
		}
		return nil
	})

	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()
	ctx := context.Background()
	call := watch.Open(ctx, client, "")
	defer call.Close()
	_ = call.Send(ctx, "a/")
	fmt.Println(call.Receive(ctx))
	_ = call.Send(ctx, "")
	_, err := call.Receive(ctx)
	fmt.Println(rpc.CodeOf(err), err)
	// Output:
	// watching a/ <nil>
	// InvalidArgument an empty key
}

// failures is a stats handler that tells of the calls that fail.
type failures struct{}

func (failures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (failures) HandleRPC(ctx context.Context, event stats.RPCStats) {
	call, ok := rpc.CallInfoFromContext(ctx)
	if end, isEnd := event.(*stats.End); isEnd && ok && end.Error != nil {
		fmt.Printf("%v: %v, local: %v, attempt %d: %v\n", call.ID(), call.Kind, call.Local, call.Attempt, end.Error)
	}
}

// A stats handler finds out whose call an event is of.
func ExampleCallInfoFromContext() {
	server := rpc.NewServer(nil, "/store/1.0")
	_ = fetch.Handle(server, func(context.Context, string) (string, error) { return "", errors.New("no colour") })
	client := rpc.NewClientWithServer(nil, "/store/1.0", server, rpc.WithClientStatsHandler(failures{}))
	defer client.Close()
	_, _ = fetch.Call(context.Background(), client, "", "colour")
	// Output: Store.Fetch: unary, local: true, attempt 0: no colour
}

// An interceptor tells which way a call took: directly or through a relay.
func ExampleCallInfo_Conn() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = fetch.Handle(server, func(context.Context, string) (string, error) { return "blue", nil })
	client := rpc.NewClient(a, "/store/1.0", rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			err := next(ctx, call)
			if conn := call.Conn(); conn != nil {
				fmt.Println(call.ID(), "by", conn.ConnState().Transport, "relayed:", conn.Stat().Limited)
			}
			return err
		}
	}))
	defer client.Close()
	_, _ = fetch.Call(context.Background(), client, b.ID(), "colour")
	// Output: Store.Fetch by tcp relayed: false
}

// An interceptor makes a trace's span for each attempt only where there may be several.
func ExampleCallInfo_MayRetry() {
	server := rpc.NewServer(nil, "/store/1.0")
	_ = fetch.Handle(server, func(context.Context, string) (string, error) { return "blue", nil })
	client := rpc.NewClientWithServer(nil, "/store/1.0", server, rpc.WithCallInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			fmt.Println(call.ID(), "may be made again:", call.MayRetry())
			return next(ctx, call)
		}
	}))
	defer client.Close()
	_, _ = fetch.Call(context.Background(), client, "", "colour")
	_, _ = fetch.Call(context.Background(), client, "", "colour", rpc.CallRetry(rpc.RetryPolicy{}))
	// Output:
	// Store.Fetch may be made again: false
	// Store.Fetch may be made again: true
}

// A server counts the calls that it turns away, under names that no peer made up.
func ExampleCallInfo_Registered() {
	count := make(map[string]int)
	server := rpc.NewServer(nil, "/store/1.0", rpc.WithRefusedFunc(func(_ context.Context, call *rpc.CallInfo, _ error) {
		if call.Registered() {
			count[call.ID().String()]++
		} else {
			count["other"]++
		}
	}))
	_ = fetch.Handle(server, func(context.Context, string) (string, error) { return "blue", nil })
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()
	var reply string
	_ = client.Call("", "Store", "Fetch", 7, &reply) // takes a string
	_ = client.Call("", "Store", "Made", 7, &reply)
	_ = client.Call("", "Store", "Up", 7, &reply)
	fmt.Println(count)
	// Output: map[Store.Fetch:1 other:2]
}
