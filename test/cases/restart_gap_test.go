package cases_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A rolling restart of a server on its host, with a moment between Shutdown and
// the next server, as a program has it that closes a database in between.
// Callers retry what was certainly not sent; none may fail.
func TestRestartWithAMomentBetween(t *testing.T) {
	t.Parallel()
	a, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	defer a.Close()
	b, _ := libp2p.New(libp2p.NoListenAddrs)
	defer b.Close()
	inc := rpc.NewMethod[int, int]("C", "Inc")
	serve := func() *rpc.Server {
		s := rpc.NewServer(a, "/p")
		_ = inc.Handle(s, func(_ context.Context, n int) (int, error) { return n, nil })
		return s
	}
	s := serve()
	if err := b.Connect(t.Context(), peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()}); err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(b, "/p", rpc.WithCallOptions(rpc.CallRetry(rpc.RetryPolicy{
		Attempts: 20, Backoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond})))
	ctx, stop := context.WithCancel(t.Context())
	var good, bad atomic.Int64
	var last atomic.Value
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := inc.Call(t.Context(), c, a.ID(), 1); err != nil {
					bad.Add(1)
					last.Store(err.Error())
				} else {
					good.Add(1)
				}
			}
		})
	}
	some := func() {
		for n := good.Load() + bad.Load() + 1000; good.Load()+bad.Load() < n; {
			time.Sleep(time.Millisecond)
		}
	}
	for range 3 {
		some()
		down, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := s.Shutdown(down); err != nil {
			t.Error(err)
		}
		cancel()
		time.Sleep(100 * time.Millisecond)
		s = serve()
	}
	some()
	stop()
	wg.Wait()
	if bad.Load() > 0 {
		t.Errorf("%d calls well, %d failed, the last with: %v", good.Load(), bad.Load(), last.Load())
	}
}
