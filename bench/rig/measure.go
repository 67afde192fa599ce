package rig

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Op does n operations, and returns what went wrong.
type Op func(ctx context.Context, n int) error

// Result is what one operation took: nanoseconds, allocations, and bytes
// allocated.
type Result struct {
	NS, Allocs, Bytes float64
}

// Calibrate finds out how many operations take d, and warms up.
func Calibrate(ctx context.Context, op Op, d time.Duration) (int, error) {
	for n := 1; ; n *= 4 {
		start := time.Now()
		if err := op(ctx, n); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= d/4 {
			return max(1, int(float64(n)*float64(d)/float64(took))), nil
		}
	}
}

// Turn runs n operations. Both ends are in this process: their allocations
// are counted together.
func Turn(ctx context.Context, op Op, n int) (Result, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := op(ctx, n)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return Result{
		NS:     float64(took) / float64(n),
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		Bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}, err
}

// Parallel shares n operations among callers.
func Parallel(callers int, op func(context.Context) error) Op {
	return func(ctx context.Context, n int) error {
		var wg sync.WaitGroup
		errs := make(chan error, callers)
		for c := range callers {
			wg.Go(func() {
				for i := c; i < n; i += callers {
					if err := op(ctx); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	}
}

// Repeat does operations one after the other.
func Repeat(op func(context.Context) error) Op {
	return func(ctx context.Context, n int) error {
		for range n {
			if err := op(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}
