// Package yield lets others run who may have more to add to what is about to be
// written, as long as that is quick.
package yield

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A yield that takes slow has let a goroutine run that has much to do. For rest times
// as long as that nobody yields, so that it costs a hundredth of the time at most.
const (
	slow = 100 * time.Microsecond
	rest = 100
)

var (
	base  = time.Now()
	until atomic.Int64 // nanoseconds since base
)

// Now yields the processor, or reports false: it has been slow of late.
func Now() bool {
	start := time.Since(base)
	if start < time.Duration(until.Load()) {
		return false
	}
	runtime.Gosched()
	if end := time.Since(base); end-start > slow {
		until.Store(int64(end + rest*(end-start)))
	}
	return true
}
