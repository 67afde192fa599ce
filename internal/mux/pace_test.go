package mux

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// link carries pieces and answers pings, at a rate and with a delay, in
// simulated time.
type link struct {
	p     pacer
	delay time.Duration // there and back
	rate  float64       // bytes a second
	busy  time.Time     // until then, with what it was given
	total int
	most  uint64 // that was on its way
	pongs []pong
}

type pong struct {
	at   time.Time
	body []byte
}

// run sends as much as may be for so long.
func (l *link) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(max(l.delay/50, 20*time.Microsecond)) {
		for len(l.pongs) > 0 && !l.pongs[0].at.After(time.Now()) {
			l.p.answered(l.pongs[0].body)
			l.pongs = l.pongs[1:]
			if l.p.overdue() {
				l.ping(l.p.mark())
			}
		}
		for l.p.open() {
			l.busy = later(l.busy, time.Now()).Add(time.Duration(FirstPiece / l.rate * 1e9))
			l.total += FirstPiece
			if b := l.p.count(nil, FirstPiece); b != nil {
				l.ping(b[len(b)-8:])
			}
			l.most = max(l.most, l.p.sent-l.p.read)
		}
	}
}

func (l *link) ping(body []byte) {
	l.pongs = append(l.pongs, pong{later(l.busy, time.Now()).Add(l.delay), bytes.Clone(body)})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// As much is on its way as keeps the link busy, and not much more, whatever the
// link is like, and if it becomes another.
func TestPaceFollowsTheLink(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration
		rate  float64
	}{
		{"loopback", 50 * time.Microsecond, 500e6},
		{"lan", time.Millisecond, 100e6},
		{"far", 100 * time.Millisecond, 100e6},
		{"slow", 50 * time.Millisecond, 1e6},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &link{delay: c.delay, rate: c.rate}
				full := func() {
					t.Helper()
					// It finds out, when what is on its way has come, at the least rate.
					l.run(max(time.Duration(2*float64(l.p.sent-l.p.read+leastRoom)/(c.rate/50)*1e9), 100*l.delay))
					l.total, l.most = 0, 0
					d := max(100*l.delay, time.Duration(20*leastRoom/l.rate*1e9))
					l.run(d)
					if rate := float64(l.total) / d.Seconds(); rate < 0.8*l.rate {
						t.Errorf("%.1f MB/s, and the link carries %.1f", rate/1e6, l.rate/1e6)
					}
					most := uint64(l.rate*(3*l.delay+2*slack).Seconds()) + 2*leastRoom
					if l.most > most {
						t.Errorf("%d KiB on their way, and %d are plenty", l.most>>10, most>>10)
					}
				}
				full()
				l.rate /= 50
				full()
				l.rate *= 25
				full()
			})
		})
	}
}

// A small reply does not wait for all of a large one that was there before.
func TestSmallRepliesPassLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		lim := testLimits()
		lim.Message = size
		a, b := newPipe(size) // which takes all of it at once
		s := newTestServer(b, lim, func(in *Incoming) {
			if string(in.First()) == "large" {
				_ = in.Reply(nil, make([]byte, size))
				return
			}
			_ = in.Reply(nil, []byte("small"))
		})
		peer := newRaw(t, a)
		peer.send(settingsFrame(), wholeRequest(1, "large"))
		synctest.Wait()
		peer.send(wholeRequest(2, "small"))
		synctest.Wait()
		for before := 0; ; {
			f, err := peer.read()
			if err != nil {
				t.Fatal(err)
			}
			if f.kind == kindReply && f.id == 2 {
				break
			}
			if before += len(f.body); before > 2*leastRoom {
				t.Fatalf("a small reply waits behind %d KiB", before>>10)
			}
		}
		_ = a.Close()
		s.check(t)
	})
}

// Who takes pieces and does not answer pings holds a session up no longer than
// who takes nothing.
func TestPingsOfThePaceThatAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Silence = 0
		lim.Message = 4 << 20
		a, b := newPipe(lim.Message)
		s := newTestServer(b, lim, func(in *Incoming) { _ = in.Reply(nil, make([]byte, lim.Message)) })
		peer := newRaw(t, a)
		peer.send(settingsFrame(), wholeRequest(1, "x"))
		start := time.Now()
		_ = peer.end()
		if took := time.Since(start); took < 20*time.Second || took > 31*time.Second {
			t.Errorf("after %v", took)
		}
		s.check(t)
		if err := s.fate.err; !errors.Is(err, ErrStalled) {
			t.Errorf("ended by %v", err)
		}
	})
}
