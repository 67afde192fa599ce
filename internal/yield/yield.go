// Package yield lets others run who may have more to add to what is about to be
// written, as long as that is quick.
package yield

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A yield that takes slow has let a goroutine run for most of a time slice, which is 10 ms,
// or the machine was busy: after several in a row it is the former. For rest times as long as the last nobody
// yields then, so that it costs a hundredth of the time.
const (
	slow = 2 * time.Millisecond
	row  = 3
	rest = 100
)

var (
	base  = time.Now()
	until atomic.Int64 // nanoseconds since base
	inRow atomic.Int32 // yields that were slow, since the last that was not
)

// Now yields the processor, or reports false: it has been slow of late.
func Now() bool {
	start := time.Since(base)
	if start < time.Duration(until.Load()) {
		return false
	}
	runtime.Gosched()
	switch end := time.Since(base); {
	case end-start <= slow:
		if inRow.Load() > 0 {
			inRow.Store(0)
		}
	case inRow.Add(1) >= row:
		until.Store(int64(end + rest*(end-start)))
	}
	return true
}
