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
	t.Parallel()
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p", rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1}))
	begun := make(chan struct{}, 3)
	method := rpc.NewMethod[time.Duration, time.Time]("S", "Deadline")
	if err := method.Handle(server, func(ctx context.Context, pause time.Duration) (time.Time, error) {
		begun <- struct{}{}
		time.Sleep(pause)
		deadline, _ := ctx.Deadline()
		return deadline, nil
	}); err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(hosts[1], "/p")
	bg := context.Background()
	if _, err := method.Call(bg, client, hosts[0].ID(), 0); err != nil { // the session is there
		t.Fatal(err)
	}
	<-begun
	go method.Call(bg, client, hosts[0].ID(), 2*time.Second)
	<-begun
	ctx, cancel := context.WithTimeout(bg, 20*time.Second)
	defer cancel()
	told, err := method.Call(ctx, client, hosts[0].ID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	deadline, _ := ctx.Deadline()
	if later := told.Sub(deadline); later > 1500*time.Millisecond {
		t.Errorf("the method's deadline is %v after the caller's", later)
	}
}
