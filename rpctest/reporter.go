package rpctest

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long the package waits for what should be there at once,
// before it fails the test.
const patience = 10 * time.Second

// reporter tells a test of what happens in other goroutines, which may outlive
// it: to speak to a test that has ended would be a panic.
type reporter struct {
	t testing.TB

	mu   sync.Mutex
	over bool
}

// newReporter returns one that falls silent when the test ends, after the
// cleanups that are registered later.
func newReporter(t testing.TB) *reporter {
	r := &reporter{t: t}
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.over = true
	})
	return r
}

// errorf fails the test, and lets it go on.
func (r *reporter) errorf(format string, args ...any) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.t.Errorf(format, args...)
	}
}

// Write makes a reporter the output of a log.
func (r *reporter) Write(p []byte) (int, error) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}
