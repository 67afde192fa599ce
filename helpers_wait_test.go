package rpc_test

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

// take receives from ch, and fails the test unless that is soon.
func take[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
	}
	return v
}

// take2 is take that tells whether the channel was open.
func take2[T any](t testing.TB, ch <-chan T) (v T, open bool) {
	t.Helper()
	select {
	case v, open = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatal("not within 20 s: the channel has an item or is closed")
	}
	return v, open
}

// inBackground returns what f will return.
func inBackground[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// promptly makes a call that waits for nothing, and fails the test if it has to
// be ended all the same.
func promptly(t testing.TB, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := call(ctx)
	if ctx.Err() != nil {
		t.Errorf("not within 5 s: %v", err)
	}
	return err
}

// eventually waits for what no event tells of.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// usuallyWithin fails the test unless the median of times is below most. One
// time says little on a machine that does other things beside.
func usuallyWithin(t testing.TB, what string, most time.Duration, times []time.Duration) {
	t.Helper()
	slices.Sort(times)
	if m := times[len(times)/2]; m >= most {
		t.Errorf("%s: %v in the median, not within %v; all: %v", what, m, most, times)
	}
}

// restsBelow waits until a count has grown and then not for a while, and fails
// the test if it reaches most.
func restsBelow(t testing.TB, what string, count *atomic.Int64, most int64) int64 {
	t.Helper()
	last, same := int64(0), 0
	eventually(t, what, func() bool {
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

// libraryGoroutines are the stacks of all goroutines in which, or by which,
// the library runs, but for those in which a session waits for its next frame.
func libraryGoroutines() (stacks []string) {
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

// noGoroutineStays fails the test if the library goes on with anything. Only
// tests that are not parallel can ask, and they must before hosts and servers
// are closed: that would end what was forgotten.
func noGoroutineStays(t testing.TB) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(left, "\n\n"))
		}
	}()
	eventually(t, "all goroutines of the library have ended", func() bool {
		left = libraryGoroutines()
		return len(left) == 0
	})
}

// collect reads a channel to its end in the background.
func collect[T any](ch <-chan T) func() []T {
	out := make(chan []T, 1)
	go func() {
		var all []T
		for v := range ch {
			all = append(all, v)
		}
		out <- all
	}()
	return func() []T { return <-out }
}

// sendAll sends items and closes the channel, unless ctx ends before.
func sendAll[T any](ctx context.Context, ch chan<- T, items ...T) {
	go func() {
		defer close(ch)
		for _, it := range items {
			select {
			case ch <- it:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// feed sends up to n items and counts them, until ctx ends.
func feed(ctx context.Context, ch chan<- []byte, n, size int) *atomic.Int64 {
	sent := new(atomic.Int64)
	go func() {
		defer close(ch)
		item := make([]byte, size)
		for range n {
			select {
			case ch <- item:
				sent.Add(1)
			case <-ctx.Done():
				return
			}
		}
	}()
	return sent
}

// opened returns an open channel of arguments, on which a sender waits.
func opened[A any](ctx context.Context, item A) chan A {
	args := make(chan A)
	go func() {
		for {
			select {
			case args <- item:
			case <-ctx.Done():
				return
			}
		}
	}()
	return args
}

// stream makes a streaming call that must end soon, with replies closed, and
// returns the replies beside the error.
func stream[A, R any](ctx context.Context, t testing.TB, s setup, method string, args chan A, _ R) ([]R, error) {
	t.Helper()
	replies := make(chan R)
	got := inBackground(collect(replies))
	err := take(t, method+": Stream returns", inBackground(func() error {
		return s.client.Stream(ctx, s.dest, "Svc", method, args, replies)
	}))
	return take(t, method+": replies are closed", got), err
}

// syncBuffer is a log for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) option() rpc.ServerOption {
	return rpc.WithServerLogger(slog.New(slog.NewTextHandler(b, nil)))
}
