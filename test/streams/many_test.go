package streams_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// A client has 10,000 idle streams on one session, within libp2p's default limits, and
// each takes little. Not parallel, for it measures the process.
func TestManyIdleStreams(t *testing.T) {
	const n = 10_000
	limits := rpc.WithServerLimits(rpc.Limits{CallsPerPeer: n})
	s := rig.Session.Setup(t, rig.Options{Server: []rpc.ServerOption{limits}})
	var begun sync.WaitGroup
	release := make(chan struct{})
	handleWatched(t, s, func(_ context.Context, _ int, out *rpc.Sender[string]) error {
		begun.Done()
		<-release
		return out.Send(context.Background(), "item")
	})
	_ = s.Client.CallContext(rig.Context(t), s.Dest, "No", "Such", 1, new(int)) // and there is a session
	heap, goroutines := held()
	begun.Add(n)
	var over sync.WaitGroup
	ctx := rig.Context(t)
	for range n {
		over.Go(func() {
			items := 0
			for _, err := range watched.Call(ctx, s.Client, s.Dest, 1) {
				if err != nil {
					t.Error(err)
					return
				}
				items++
			}
			if items != 1 {
				t.Errorf("%d items", items)
			}
		})
	}
	begun.Wait()
	more, others := held()
	if each := (more - heap) / n; each > 10<<10 && !rig.Race {
		t.Errorf("a stream takes %d bytes of heap, both sides", each)
	}
	if more := others - goroutines - 2*n; more > 100 { // the caller's and the method's
		t.Errorf("%d goroutines are neither callers nor methods", more)
	}
	if rig.SessionsAt(s.Host) != 1 {
		t.Errorf("%d sessions", rig.SessionsAt(s.Host))
	}
	close(release)
	over.Wait()
}

// held is how much heap is in use, and how many goroutines there are.
func held() (heap, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), runtime.NumGoroutine()
}

// A call of one item takes few allocations, both ends together. Not parallel, for it
// counts those of the process.
func TestStreamOfOneItemAllocatesLittle(t *testing.T) {
	if rig.Race {
		return // which allocates, too
	}
	s := rig.Session.Setup(t, rig.Options{})
	one := rpc.NewServerStream[int, []byte]("Feed", "One")
	item := make([]byte, 64)
	if err := one.Handle(s.Server, func(ctx context.Context, _ int, out *rpc.Sender[[]byte]) error {
		return out.Send(ctx, item)
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if n := testing.AllocsPerRun(1000, func() {
		for _, err := range one.Call(ctx, s.Client, s.Dest, 1) {
			if err != nil {
				t.Error(err)
			}
		}
	}); n > 31 {
		t.Errorf("%v allocations", n)
	}
}
