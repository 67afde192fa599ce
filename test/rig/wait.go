package rig

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// patience is how long tests wait for what should come at once. The race detector
// makes everything slower, and other tests run beside.
const patience = (1 + 2*slow) * 20 * time.Second

// Late is how much later than promised something may come, on a machine that does other
// things beside.
const Late = (1 + 2*slow) * 2 * time.Second

// Slower is d, and more where everything is slower.
func Slower(d time.Duration) time.Duration { return (1 + 2*slow) * d }

// Measured calls f until it succeeds, three times at most, and fails the test with its
// last error: one measurement says little on a machine that does other things beside.
func Measured(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for range 3 {
		if err = f(); err == nil {
			return
		}
		t.Log("measured again: ", err)
	}
	t.Error(err)
}

// Take receives from ch, and fails the test unless that is soon.
func Take[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
	return v
}

// Take2 is take that tells whether the channel was open.
func Take2[T any](t testing.TB, ch <-chan T) (v T, open bool) {
	t.Helper()
	select {
	case v, open = <-ch:
	case <-time.After(patience):
		t.Fatalf("not within %v: the channel has an item or is closed", patience)
	}
	return v, open
}

// InBackground returns what f will return.
func InBackground[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// Promptly makes a call that waits for nothing, and fails the test if it has to
// be ended all the same.
func Promptly(t testing.TB, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience/4)
	defer cancel()
	err := call(ctx)
	if ctx.Err() != nil {
		t.Errorf("not within %v: %v", patience/4, err)
	}
	return err
}

// Eventually waits for what no event tells of.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// UsuallyWithin fails the test unless the median of times is below most. One
// time says little on a machine that does other things beside.
func UsuallyWithin(t testing.TB, what string, most time.Duration, times []time.Duration) {
	t.Helper()
	slices.Sort(times)
	if m := times[len(times)/2]; m >= most {
		t.Errorf("%s: %v in the median, not within %v; all: %v", what, m, most, times)
	}
}

// RestsBelow waits until a count has grown and then not for a while, and fails
// the test if it reaches most.
func RestsBelow(t testing.TB, what string, count *atomic.Int64, most int64) int64 {
	t.Helper()
	last, same := int64(0), 0
	Eventually(t, what, func() bool {
		n := count.Load()
		if n >= most {
			t.Fatalf("%s: %d, and no end", what, n)
		}
		if same++; n != last || n == 0 {
			last, same = n, 0
		}
		return same > 100
	})
	return last
}

func IsClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// LibraryGoroutines are the stacks of all goroutines in which, or by which,
// the library runs, but for those in which a session waits for its next frame.
func LibraryGoroutines() (stacks []string) {
	buf := make([]byte, 1<<20)
	for n := 0; ; buf = make([]byte, 2*len(buf)) {
		if n = runtime.Stack(buf, true); n < len(buf) {
			buf = buf[:n]
			break
		}
	}
	for _, s := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(s, "/internal/mux.(*conn).next(") || strings.Contains(s, "/internal/mux.(*Server).park(") {
			continue
		}
		if strings.Contains(s, "github.com/libp2p/go-libp2p-gorpc.") || strings.Contains(s, "github.com/libp2p/go-libp2p-gorpc/internal/") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}

// NoGoroutineStays fails the test if the library goes on with anything. Only
// tests that are not parallel can ask, and they must before hosts and servers
// are closed: that would end what was forgotten.
func NoGoroutineStays(t testing.TB) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(left, "\n\n"))
		}
	}()
	Eventually(t, "all goroutines of the library have ended", func() bool {
		left = LibraryGoroutines()
		return len(left) == 0
	})
}

// SyncBuffer is a log for several goroutines.
type SyncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *SyncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *SyncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *SyncBuffer) Option() rpc.ServerOption {
	return rpc.WithServerLogger(slog.New(slog.NewTextHandler(b, nil)))
}
