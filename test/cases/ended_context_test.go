package cases_test

import (
	"context"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type sleeper struct{}

func (sleeper) Sleep(ctx context.Context, _ int, _ *int) error { <-ctx.Done(); return ctx.Err() }
func (sleeper) Stream(ctx context.Context, _ <-chan int, _ chan<- int) error {
	<-ctx.Done()
	return ctx.Err()
}

// v0.6's functions keep v0.6's words and kinds for a context that ended.
func TestEndedContext(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p")
	_ = server.RegisterName("S", sleeper{})
	for name, client := range map[string]*rpc.Client{"local": rpc.NewClientWithServer(hosts[0], "/p", server), "remote": rpc.NewClient(hosts[1], "/p")} {
		for _, call := range []string{"CallContext", "Stream"} {
			t.Run(name+" "+call, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				var err error
				if call == "Stream" {
					args := make(chan int)
					defer close(args)
					err = client.Stream(ctx, hosts[0].ID(), "S", "Stream", args, make(chan int))
				} else {
					err = client.CallContext(ctx, hosts[0].ID(), "S", "Sleep", 1, new(int))
				}
				if err == nil || err.Error() != ctx.Err().Error() || rpc.IsRPCError(err) || rpc.CodeOf(err) != codes.DeadlineExceeded {
					t.Errorf("%v, IsRPCError %v, code %v", err, rpc.IsRPCError(err), rpc.CodeOf(err))
				}
			})
		}
	}
}
