package live

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// link is a connection of which the test says how it goes.
type link struct {
	network.Conn
	full   bool // a stream cannot be opened
	muxer  protocol.ID
	mu     sync.Mutex
	frozen chan struct{} // pings are answered until it is there, and when it is closed
	pings  int
	closed bool
}

func (l *link) ConnState() network.ConnectionState {
	return network.ConnectionState{StreamMultiplexer: l.muxer}
}

func (l *link) NewStream(ctx context.Context) (network.Stream, error) {
	if l.full {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pings++
	return &answer{frozen: l.frozen, reset: make(chan struct{})}, nil
}

func (l *link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = make(chan struct{})
}

// answer is a stream that the peer refuses when it is not frozen: that is an answer.
type answer struct {
	network.Stream
	frozen, reset chan struct{}
	once          sync.Once
}

func (s *answer) Write(b []byte) (int, error) { return len(b), nil }

func (s *answer) Read([]byte) (int, error) {
	if s.frozen != nil {
		select {
		case <-s.frozen:
		case <-s.reset:
		}
	}
	return 0, io.EOF
}

func (s *answer) Reset() error {
	s.once.Do(func() { close(s.reset) })
	return nil
}

// waiter is a user.
type waiter struct {
	link     *link
	mu       sync.Mutex
	received int64
	sent     int64
	silent   bool
	at       time.Time // of Abort
	t        *testing.T
}

func (w *waiter) hears() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received++
}

func (w *waiter) sends() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
}

func (w *waiter) Moved() (received, sent int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.received, w.sent
}

func (w *waiter) Silent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
}

func (w *waiter) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = time.Now()
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	if !w.silent || !w.link.closed {
		w.t.Errorf("the wait ends; it was told why: %v, the connection is closed: %v", w.silent, w.link.closed)
	}
}

const silence = 12 * time.Second

// inTime fails the test unless the wait has ended, between one and 1.25 silences after
// start.
func (w *waiter) inTime(start time.Time) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if took := w.at.Sub(start); w.at.IsZero() || took < silence-silence/100 || took > silence*5/4 {
		w.t.Errorf("the wait ends after %v, of %v", took, silence)
	}
}

func monitored(t *testing.T, f func(m *Monitor, w *waiter)) {
	synctest.Test(t, func(t *testing.T) {
		m := New(t.Context(), silence)
		w := &waiter{link: new(link), t: t}
		f(m, w)
		m.Unwatch(w.link, w)
		m.Close()
		synctest.Wait()
		if len(m.conns) > 0 {
			t.Errorf("%d connections are not forgotten", len(m.conns))
		}
	})
}

// A peer freezes at some time between two ticks, when something has just come or long
// ago, before the ping or when it is under way.
func TestSilence(t *testing.T) {
	for _, idle := range []time.Duration{0, 30 * time.Second} {
		for at := time.Duration(0); at < silence/ticks; at += silence / ticks / 5 {
			monitored(t, func(m *Monitor, w *waiter) {
				m.Watch(w.link, w)
				time.Sleep(5*time.Second + at)
				w.hears()
				time.Sleep(idle)
				start := time.Now()
				w.link.freeze()
				time.Sleep(2 * silence)
				w.inTime(start)
			})
		}
	}
}

// Something comes when a ping is under way that will not be answered.
func TestSilenceAfterALostPing(t *testing.T) {
	monitored(t, func(m *Monitor, w *waiter) {
		m.Watch(w.link, w)
		w.link.freeze()
		time.Sleep(5*time.Second + silence/ticks/2)
		w.hears()
		start := time.Now()
		time.Sleep(2 * silence)
		w.inTime(start)
	})
}

// Waits that are shorter than a tick, with pauses between them: the peer is asked all the
// same, and then until it answers.
func TestSilenceOfShortWaits(t *testing.T) {
	monitored(t, func(m *Monitor, w *waiter) {
		w.link.freeze()
		m.Watch(w.link, w)
		time.Sleep(silence / ticks / 10)
		m.Unwatch(w.link, w)
		time.Sleep(2 * silence)
		w.link.mu.Lock()
		defer w.link.mu.Unlock()
		if !w.link.closed || w.link.pings != 1 {
			t.Errorf("after %d pings the connection is closed: %v", w.link.pings, w.link.closed)
		}
	})
}

// A ping waits behind what the peer does not take, and some of that was taken before.
func TestSilenceOfAFullPipe(t *testing.T) {
	for _, slow := range []time.Duration{0, 5 * silence} {
		monitored(t, func(m *Monitor, w *waiter) {
			w.link.full, w.link.muxer = true, yamux
			m.Watch(w.link, w)
			start := time.Now()
			for time.Since(start) < slow {
				time.Sleep(silence - silence/ticks)
				w.sends()
			}
			start = time.Now()
			time.Sleep(2 * silence)
			w.inTime(start)
		})
	}
}

func TestNoSilence(t *testing.T) {
	for name, prepare := range map[string]func(*link){
		"answers":                      func(*link) {},
		"no room for a ping":           func(l *link) { l.full = true },
		"no answer, and other traffic": (*link).freeze,
		"a slow pipe that is full":     func(l *link) { l.full, l.muxer = true, yamux },
	} {
		t.Run(name, func(t *testing.T) {
			monitored(t, func(m *Monitor, w *waiter) {
				prepare(w.link)
				m.Watch(w.link, w)
				for range 20 {
					time.Sleep(silence - silence/ticks)
					switch {
					case w.link.frozen != nil:
						w.hears()
					case w.link.muxer != "":
						w.sends()
					}
				}
				if w.silent || w.link.closed {
					t.Error("the peer lives")
				}
			})
		})
	}
}

// A connection that nobody waits for is forgotten once there is an answer, and not asked
// any more.
func TestForgotten(t *testing.T) {
	monitored(t, func(m *Monitor, w *waiter) {
		m.Watch(w.link, w)
		m.Unwatch(w.link, w)
		time.Sleep(2 * silence)
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.conns) > 0 || m.timer != nil || w.link.pings != 1 {
			t.Errorf("%d connections, a timer: %v, %d pings", len(m.conns), m.timer != nil, w.link.pings)
		}
	})
}
