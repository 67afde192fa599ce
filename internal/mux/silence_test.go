package mux

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that says nothing more, while calls are under way, is given up.
func TestSilentPeerEndsItsCalls(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			c := newTestClient(a, testLimits())
			newRaw(t, b).send(settingsFrame())
			time.Sleep(time.Hour / 60) // without calls it may be silent
			start := time.Now()
			_, err := c.roundTrip(t.Context(), nil)
			if took := time.Since(start); !ended(t, err, ErrSilent) || took < 15*time.Second || took > 15*time.Second*5/4 {
				t.Errorf("after %v: %v", took, err)
			}
			c.check(t)
		})
	})
	t.Run("server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			s := newTestServer(b, testLimits(), func(in *Incoming) {
				gone := make(chan struct{})
				in.OnCancel(func(uint64, error) { close(gone) })
				<-gone
			})
			newRaw(t, a).send(settingsFrame(), wholeRequest(1, "x"))
			start := time.Now()
			<-s.fate.over
			if took := time.Since(start); s.fate.err != ErrSilent || took < 15*time.Second || took > 15*time.Second*5/4 {
				t.Errorf("after %v: %v", took, s.fate.err)
			}
			s.check(t)
		})
	})
}

// One that freezes is given up too, though calls are made all the time: what
// they send is taken by what is on the way.
func TestFrozenPeerEndsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 20)
		c := newTestClient(a, testLimits())
		newRaw(t, b).send(settingsFrame(settingCalls, 1000))
		start := time.Now()
		for i := 0; ; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := c.roundTrip(ctx, make([]byte, 100))
			cancel()
			if err != context.DeadlineExceeded {
				ended(t, err, ErrSilent)
				if took := time.Since(start); took > 15*time.Second*5/4+100*time.Millisecond {
					t.Errorf("after %v: %v", took, err)
				}
				break
			}
		}
		c.check(t)
	})
}

// A call may take as long as it likes: pings are answered meanwhile.
func TestSlowMethodsAreNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSession(testLimits(), func(in *Incoming) {
			time.Sleep(time.Hour)
			echo(in)
		})
		if reply, err := c.roundTrip(t.Context(), []byte("x")); err != nil || string(reply) != "x" {
			t.Errorf("got %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// Nor is a slow link, on which pings wait behind megabytes that are under way.
func TestSlowLinkIsNoSilence(t *testing.T) {
	for _, direction := range []string{"request", "reply"} {
		t.Run(direction, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const pause = time.Second / 16 // 16 KiB a second: a megabyte takes a minute
				a, b := newPipe(1 << 10)
				x, y := newPipe(1 << 10)
				for _, h := range []*half{x.out, b.out} {
					h.max = 256 << 10 // takes 16 s
				}
				slow := func(slow bool) func([]byte) error {
					return func(b []byte) error {
						if slow {
							time.Sleep(pause)
						}
						return nil
					}
				}
				go relay(a, y, slow(direction == "reply"))
				go relay(y, a, slow(direction == "request"))
				c := newTestClient(x, testLimits())
				s := newTestServer(b, testLimits(), func(in *Incoming) {
					if direction == "reply" {
						_ = in.Reply(nil, make([]byte, 1<<20))
						return
					}
					b, _, err := in.Whole(t.Context(), false)
					_ = in.Reply(nil, []byte(fmt.Sprint(len(b), err)))
				})
				size := 1 << 20
				if direction == "reply" {
					size = 1
				}
				start := time.Now()
				_, err := c.roundTrip(t.Context(), make([]byte, size))
				if took := time.Since(start); err != nil || took < 50*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
				c.Close(ErrIdle)
				c.check(t)
				s.check(t)
			})
		})
	}
}
