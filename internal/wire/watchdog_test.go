package wire_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// deadlineLog notes when deadlines are set, by a bubble's clock. Only the
// watchdog's timer writes to it, and the test reads when all has settled.
type deadlineLog struct {
	start         time.Time
	reads, writes []time.Duration
	notPast       bool
}

func (d *deadlineLog) note(times *[]time.Duration, t time.Time) error {
	*times = append(*times, time.Since(d.start))
	d.notPast = d.notPast || !t.Before(d.start)
	return nil
}

func (d *deadlineLog) SetReadDeadline(t time.Time) error  { return d.note(&d.reads, t) }
func (d *deadlineLog) SetWriteDeadline(t time.Time) error { return d.note(&d.writes, t) }

func TestWatchdog(t *testing.T) {
	t.Parallel()
	const after = 10 * time.Second
	pass := func(d time.Duration) {
		<-time.After(d)
		synctest.Wait()
	}
	disarm := func(t *testing.T, w *wire.Watchdog, want bool) {
		t.Helper()
		if got := w.Disarm(); got != want {
			t.Errorf("Disarm says %v", got)
		}
	}
	const never = -1
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, w *wire.Watchdog)
		at   time.Duration // when it fires
	}{
		{"left alone", func(t *testing.T, w *wire.Watchdog) {}, never},
		{"disarmed unarmed", func(t *testing.T, w *wire.Watchdog) { disarm(t, w, true) }, never},
		{"fires once", func(t *testing.T, w *wire.Watchdog) { w.Arm(); pass(5 * after); disarm(t, w, false) }, after},
		{"fires by itself", func(t *testing.T, w *wire.Watchdog) { w.Arm() }, after},
		{"disarmed", func(t *testing.T, w *wire.Watchdog) { w.Arm(); disarm(t, w, true) }, never},
		{"disarmed at the last moment", func(t *testing.T, w *wire.Watchdog) {
			w.Arm()
			pass(after - 1)
			disarm(t, w, true)
			disarm(t, w, true)
		}, never},
		{"another time", func(t *testing.T, w *wire.Watchdog) {
			w.ArmFor(after / 2)
			pass(after/2 - 1)
			w.ArmFor(2 * after)
		}, after/2 - 1 + 2*after},
		{"armed again and again", func(t *testing.T, w *wire.Watchdog) {
			for range 10 {
				w.Arm()
				pass(after - 1)
			}
			disarm(t, w, true)
		}, never},
		{"armed after disarmed", func(t *testing.T, w *wire.Watchdog) {
			for range 3 {
				w.Arm()
				pass(after - 1)
				disarm(t, w, true)
				pass(after)
			}
			w.Arm()
		}, 3*(2*after-1) + after},
		{"never again once fired", func(t *testing.T, w *wire.Watchdog) {
			w.Arm()
			pass(after)
			disarm(t, w, false)
			for range 3 {
				w.Arm()
				pass(2 * after)
				disarm(t, w, false)
			}
			w.ArmFor(1)
		}, after},
		{"no time", func(t *testing.T, w *wire.Watchdog) { w.ArmFor(0); pass(after); disarm(t, w, true) }, never},
		{"less than no time", func(t *testing.T, w *wire.Watchdog) { w.ArmFor(-1); pass(after); disarm(t, w, true) }, never},
		// For ever takes the place of the time before.
		{"no time after some", func(t *testing.T, w *wire.Watchdog) { w.Arm(); w.ArmFor(0); pass(2 * after); disarm(t, w, true) }, never},
	} {
		for _, write := range []bool{false, true} {
			name := tt.name + ", reading"
			if write {
				name = tt.name + ", writing"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					log := &deadlineLog{start: time.Now()}
					var w wire.Watchdog
					w.Init(log, write, after)
					tt.run(t, &w)
					pass(100 * after)
					fired, other := log.reads, log.writes
					if write {
						fired, other = other, fired
					}
					if len(other) != 0 || log.notPast {
						t.Errorf("the other direction's deadline was set at %v; some not in the past: %v", other, log.notPast)
					}
					if tt.at == never {
						if len(fired) != 0 {
							t.Errorf("fires at %v", fired)
						}
					} else if len(fired) != 1 || fired[0] != tt.at {
						t.Errorf("fires at %v; want %v", fired, tt.at)
					}
				})
			})
		}
	}
	t.Run("no time by default", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			log := &deadlineLog{start: time.Now()}
			var w wire.Watchdog
			w.Init(log, true, 0)
			w.Arm()
			pass(1000 * time.Hour)
			disarm(t, &w, true)
			if len(log.writes) != 0 {
				t.Errorf("fires at %v", log.writes)
			}
		})
	})
}
