package cases_test

import (
	"context"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// A call that waits for its place does not take the server's word for a later
// deadline than the caller's.
func TestQueuedDeadline(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p", rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1}))
	method := rpc.NewMethod[time.Duration, time.Duration]("S", "Left")
	if err := method.Handle(server, func(ctx context.Context, pause time.Duration) (time.Duration, error) {
		time.Sleep(pause)
		deadline, _ := ctx.Deadline()
		return time.Until(deadline), nil
	}); err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(hosts[1], "/p")
	bg := context.Background()
	if _, err := method.Call(bg, client, hosts[0].ID(), 0); err != nil { // the session is there
		t.Fatal(err)
	}
	go method.Call(bg, client, hosts[0].ID(), 2*time.Second)
	time.Sleep(200 * time.Millisecond)
	ctx, cancel := context.WithTimeout(bg, 5*time.Second)
	defer cancel()
	left, err := method.Call(ctx, client, hosts[0].ID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	deadline, _ := ctx.Deadline()
	if real := time.Until(deadline); left > real+500*time.Millisecond {
		t.Errorf("the method is told %v, and the caller has %v", left, real)
	}
}
