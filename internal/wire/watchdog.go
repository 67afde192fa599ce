package wire

import (
	"sync/atomic"
	"time"
)

// Watchdog ends a read or a write on a stream that has taken too long, by a
// deadline in the past. One timer serves all the waits of a direction, which
// costs less than a deadline for each. Arm and Disarm are one goroutine's at a
// time.
type Watchdog struct {
	after time.Duration
	st    Deadlines
	write bool
	timer *time.Timer
	armed bool
	fired atomic.Bool
}

// Past is a deadline that has passed: it ends a read or a write at once.
var Past = time.Unix(1, 0)

// Deadlines are a stream's.
type Deadlines interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Init makes w watch st's reads, or its writes; Arm gives them the time after.
func (w *Watchdog) Init(st Deadlines, write bool, after time.Duration) {
	w.st, w.write, w.after = st, write, after
}

// Arm starts the time anew.
func (w *Watchdog) Arm() { w.ArmFor(w.after) }

// ArmFor is Arm with another time; not positive is for ever.
func (w *Watchdog) ArmFor(d time.Duration) {
	if d <= 0 || w.fired.Load() {
		w.Disarm()
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.bite)
		return
	}
	w.timer.Reset(d)
}

// Disarm stops the time; it reports false when that was too late.
func (w *Watchdog) Disarm() bool {
	stopped := !w.armed || w.timer.Stop()
	w.armed = false
	return stopped && !w.fired.Load()
}

func (w *Watchdog) bite() {
	w.fired.Store(true)
	if w.write {
		_ = w.st.SetWriteDeadline(Past)
	} else {
		_ = w.st.SetReadDeadline(Past)
	}
}
