package cases_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

type inFlight struct{ atomic.Int32 }

func (f *inFlight) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (f *inFlight) HandleRPC(_ context.Context, event stats.RPCStats) {
	switch event.(type) {
	case *stats.Begin:
		f.Add(1)
	case *stats.End:
		f.Add(-1)
	}
}

// For each Begin there is an End, however the call ended.
func TestEndForEachBegin(t *testing.T) {
	var atServer, atClient inFlight
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p", rpc.WithServerStatsHandler(&atServer))
	method := rpc.NewMethod[int, int]("S", "M")
	if err := method.Handle(server, func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil }); err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(hosts[1], "/p", rpc.WithClientStatsHandler(&atClient),
		rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				_ = next(ctx, call)
				panic("an interceptor's")
			}
		}))
	func() {
		defer func() { _ = recover() }()
		_, _ = method.Call(context.Background(), client, hosts[0].ID(), 1)
	}()
	for late := time.Now().Add(20 * time.Second); atServer.Load() != 0 && time.Now().Before(late); {
		time.Sleep(time.Millisecond)
	}
	if s, c := atServer.Load(), atClient.Load(); s != 0 || c != 0 {
		t.Errorf("under way, when all is over: %d at the server (Goexit), %d at the client (panic)", s, c)
	}
}
