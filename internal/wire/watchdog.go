package wire

import (
	"sync/atomic"
	"time"
)

// Watchdog calls a function when what it watches has taken too long. One timer
// serves all the waits of a side of a conversation, which costs less than a
// deadline on the stream for each. Arm and Disarm are one goroutine's at a
// time.
type Watchdog struct {
	after time.Duration
	fire  func()
	timer *time.Timer
	armed bool
	fired atomic.Bool
}

// NewWatchdog returns one that calls fire, in a goroutine of its own and once
// at most, when it has been armed for after.
func NewWatchdog(after time.Duration, fire func()) *Watchdog {
	return &Watchdog{after: after, fire: fire}
}

// Arm starts the time anew.
func (w *Watchdog) Arm() { w.ArmFor(w.after) }

// ArmFor is Arm with another time; not positive is for ever.
func (w *Watchdog) ArmFor(d time.Duration) {
	if d <= 0 || w.fired.Load() {
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
	w.fire()
}
