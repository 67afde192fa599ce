package simtest

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Items echoes items.
func (Echo) Items(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	for item := range in {
		out <- item
	}
	return nil
}

// Bulk echoes items of calls that move much.
func (e Echo) Bulk(ctx context.Context, in <-chan []byte, out chan<- []byte) error {
	return e.Items(ctx, in, out)
}

var (
	items = rpc.NewDuplex[[]byte, []byte]("Echo", "Items")
	bulk  = rpc.NewDuplex[[]byte, []byte]("Echo", "Bulk")
)

// roundTrips sends items on one call, each when the one before has come back, until ctx
// ends, and returns how long each took.
func roundTrips(ctx context.Context, t *testing.T, w *world, c *rpc.Client, size int) (took []time.Duration) {
	call := items.Open(ctx, c, w.hosts[1].ID())
	defer call.Close()
	item := make([]byte, size)
	for {
		start := time.Now()
		err := call.Send(ctx, item)
		if err == nil {
			_, err = call.Receive(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return took
		case err != nil:
			t.Error(err)
			return took
		}
		took = append(took, time.Since(start))
	}
}

// flood has items echoed as fast as they come back, most of them or until ctx ends.
func flood(ctx context.Context, w *world, c *rpc.Client, size, most int) {
	call := bulk.Open(ctx, c, w.hosts[1].ID())
	defer call.Close()
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		defer call.CloseSend()
		item := make([]byte, size)
		for n := 0; n < most && call.Send(ctx, item) == nil; n++ {
		}
	})
	for _, err := range call.All(ctx) {
		if err != nil {
			return
		}
	}
}

// lossLoad is what goes on beside the calls that are measured.
type lossLoad struct {
	name          string
	echoes, bulks int
}

// itemTimes measures the round trips of items of 64 bytes on four calls at once, on a
// link where one packet of a hundred is lost and a round trip takes 50 ms.
func itemTimes(t *testing.T, opts []rpc.ClientOption, load lossLoad) (p50, p99 time.Duration) {
	const (
		roundTrip = 50 * time.Millisecond
		during    = 240 * time.Second
	)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 100, roundTrip)
		defer w.close()
		c := w.client(opts...)
		defer c.Close()
		if err := echo(t.Context(), c, w.hosts[1], 1); err != nil {
			t.Fatal(err)
		}
		flood(t.Context(), w, c, 32<<10, 100) // from now on it is known to move much
		w.loss.Store(100)
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				own := roundTrips(ctx, t, w, c, 64)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, own...)
			})
		}
		for range load.echoes {
			wg.Go(func() { roundTrips(ctx, t, w, c, 64) })
		}
		for range load.bulks {
			wg.Go(func() { flood(ctx, w, c, 32<<10, math.MaxInt) })
		}
		wg.Wait()
		slices.Sort(took)
		if len(took) < 1000 {
			t.Fatalf("only %d items", len(took))
		}
		p50, p99 = took[len(took)/2], took[len(took)*99/100]
		t.Logf("%d items: half within %v, 99 %% within %v, 99.9 %% within %v, all within %v", len(took), p50, p99, took[len(took)*999/1000], took[len(took)-1])
	})
	return p50, p99
}

// Streaming calls of one session share a stream, so that a lost packet holds up all of
// them. How much that is, against streams of their own, beside calls that move little,
// and beside those of a method that is known to move much.
func TestLossHoldsUpItemsLittleMoreThanOnStreamsOfTheirOwn(t *testing.T) {
	const most = 1.25
	for _, load := range []lossLoad{{"alone", 0, 0}, {"beside 12 calls like it", 12, 0}, {"beside 4 bulk calls", 0, 4}} {
		t.Run(load.name, func(t *testing.T) {
			_, own := itemTimes(t, transports["wire"], load)
			_, shared := itemTimes(t, transports["session"], load)
			if ratio := float64(shared) / float64(own); ratio > most {
				t.Errorf("99 %% of items take %v, on streams of their own %v: %.2f times", shared, own, ratio)
			}
		})
	}
}
