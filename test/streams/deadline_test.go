package streams_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// A method whose caller takes nothing, and whose caller's deadline passes, is told of a
// deadline: whether the caller was just then waiting for its program or not.
func TestMethodsOfCallersThatTakeNothingAreToldOfTheDeadline(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{})
			const calls = 50 // which libp2p allows as streams of their own, too
			var begun atomic.Int64
			ended := make(chan error, calls)
			flood := rpc.NewServerStream[time.Time, []byte]("Svc", "Flood")
			err := flood.Handle(s.Server, func(ctx context.Context, callers time.Time, out *rpc.Sender[[]byte]) error {
				begun.Add(1)
				for out.Send(ctx, make([]byte, 1<<10)) == nil {
				}
				<-ctx.Done()
				err := ctx.Err()
				if d, _ := ctx.Deadline(); d.Sub(callers) > 500*time.Millisecond {
					err = context.DeadlineExceeded // so slow a machine has the cancel overtake it
				}
				ended <- err
				return ctx.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				returned := make(chan error, calls)
				for range calls {
					go func() {
						ctx, cancel := context.WithTimeout(context.Background(), rig.Slower(500*time.Millisecond))
						defer cancel()
						args := make(chan time.Time, 1)
						d, _ := ctx.Deadline()
						args <- d
						close(args)
						returned <- s.Client.Stream(ctx, s.Dest, "Svc", "Flood", args, make(chan []byte))
					}()
				}
				for range calls {
					if err := rig.Take(t, "a call ends", returned); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("a caller gets %v", err)
					}
				}
				for begun.Load() > 0 {
					if err := rig.Take(t, "a method ends", ended); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("a method is told %v", err)
					}
					begun.Add(-1)
				}
			}
		})
	}
}
