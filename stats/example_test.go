package stats_test

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

type nameKey struct{}

// printer prints what it is told of calls. A real handler counts, and is quick: the
// call waits for it.
type printer struct{}

func (printer) TagRPC(ctx context.Context, tag *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, nameKey{}, tag.FullMethodName)
}

func (printer) HandleRPC(ctx context.Context, event stats.RPCStats) {
	side := "server"
	if event.IsClient() {
		side = "client"
	}
	switch e := event.(type) {
	case *stats.Begin:
		fmt.Println(side, ctx.Value(nameKey{}), "begins, streaming:", e.IsClientStream || e.IsServerStream)
	case *stats.InPayload:
		fmt.Println(side, "receives", e.Payload, "encoded:", e.Data != nil)
	case *stats.OutPayload:
		fmt.Println(side, "sends", *e.Payload.(*int))
	case *stats.End:
		fmt.Println(side, "ends:", e.Error, e.EndTime.Before(e.BeginTime))
	}
}

// A handler of a server is told of each call's begin and end, and of what goes in and
// out between them.
func ExampleHandler() {
	size := rpc.NewMethod[string, int]("Store", "Size")
	server := rpc.NewServer(nil, "/store/1.0", rpc.WithServerStatsHandler(printer{}))
	defer server.Close()
	_ = size.Handle(server, func(_ context.Context, key string) (int, error) {
		if key == "" {
			return 0, errors.New("no key")
		}
		return len(key), nil
	})
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()
	_, _ = size.Call(context.Background(), client, "", "colour")
	// Output:
	// server /Store.Size begins, streaming: false
	// server receives colour encoded: false
	// server sends 6
	// server ends: <nil> false
}

// Each event says which side it is of, for a handler that both have.
func ExampleRPCStats() {
	for _, event := range []stats.RPCStats{
		&stats.Begin{Client: true}, &stats.InPayload{Client: true}, &stats.OutPayload{}, &stats.End{},
	} {
		fmt.Printf("%T %v\n", event, event.IsClient())
	}
	// Output:
	// *stats.Begin true
	// *stats.InPayload true
	// *stats.OutPayload false
	// *stats.End false
}
