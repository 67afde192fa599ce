package servers_test

import (
	"context"
	"flag"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var restartCalls = flag.Int("calls", 10_000, "how many calls TestRestartWithAMomentInBetween makes on each transport")

// pause is at least the moment between a server's end and the next one's start.
const pause = 100 * time.Millisecond

// TestRestartWithAMomentInBetween has a moment between a server's end and the next one's start,
// in which calls are refused. Those with retries all succeed, and none runs twice.
func TestRestartWithAMomentInBetween(t *testing.T) {
	t.Parallel()
	const restarts, callers = 4, 16
	most := int64(*restartCalls / (restarts + 1))
	if testing.Short() {
		most = min(most, 500)
	}
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		ledger := &rig.Ledger{Ran: make(map[int]int)}
		refused := make(chan struct{}, 1<<20)
		seen := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, info *rpc.CallInfo) error {
				err := next(ctx, info)
				if rpc.CodeOf(err) == codes.Unimplemented && rig.Unsent(err) {
					refused <- struct{}{}
				}
				return err
			}
		}
		note := rpc.NewMethod[int, int]("Svc", "Note")
		c := tr.Client(t, a, rpc.WithClientInterceptors(seen), rpc.WithCallOptions(rpc.CallRetry(rpc.RetryPolicy{
			Attempts: 100, Backoff: 5 * time.Millisecond, MaxBackoff: 100 * time.Millisecond})))
		var made atomic.Int64
		var group sync.WaitGroup
		enough, stop := make(chan struct{}, 1<<10), make(chan struct{})
		s := rig.Serve(t, b, ledger)
		for i := range callers {
			group.Go(func() {
				for !rig.IsClosed(stop) {
					id, reply := int(made.Add(1)), 0
					var err error
					if i%2 == 0 {
						err = c.Call(b.ID(), "Svc", "Note", id, &reply)
					} else {
						reply, err = note.Call(rig.Context(t), c, b.ID(), id)
					}
					if err != nil || reply != id {
						t.Errorf("call %d: %d, %v", id, reply, err)
					}
					if int64(id)%most == 0 {
						enough <- struct{}{}
					}
				}
			})
		}
		for range restarts {
			rig.Take(t, "many calls were made", enough)
			if err := s.Shutdown(rig.Context(t)); err != nil {
				t.Error(err)
			}
			next := time.After(pause)
			for range 2 * callers {
				rig.Take(t, "calls are refused in between", refused)
			}
			<-next
			s = rig.Serve(t, b, ledger)
		}
		rig.Take(t, "many calls were made", enough)
		close(stop)
		group.Wait()
		for id, times := range ledger.Ran {
			if times != 1 {
				t.Errorf("call %d ran %d times", id, times)
			}
		}
		if n := int(made.Load()); len(ledger.Ran) != n {
			t.Errorf("%d calls ran, and %d were made", len(ledger.Ran), n)
		}
	})
}
