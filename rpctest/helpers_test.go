package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeT is a test that may fail without failing this one. What is called on it
// after its end is a panic, as with a real one.
type fakeT struct {
	testing.TB // for what is not here

	mu       sync.Mutex
	failed   bool
	stopped  bool // by FailNow
	over     bool
	errors   []string
	logs     []string
	late     []string // what it was told after its end
	cleanups []func()
}

func (t *fakeT) Helper()      {}
func (t *fakeT) Name() string { return "fake" }

func (t *fakeT) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *fakeT) Log(args ...any) { t.mustRun("Log", args) }

func (t *fakeT) Logf(format string, args ...any) {
	t.mustRun("Logf", []any{format})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs = append(t.logs, fmt.Sprintf(format, args...))
}

func (t *fakeT) mustRun(what string, args []any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		t.late = append(t.late, what)
		panic(fmt.Sprint(what, " after the test has ended: ", args))
	}
}

func (t *fakeT) Errorf(format string, args ...any) {
	t.mustRun("Errorf", []any{format})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
	t.errors = append(t.errors, fmt.Sprintf(format, args...))
}

func (t *fakeT) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	t.FailNow()
}

func (t *fakeT) FailNow() {
	t.mu.Lock()
	t.failed, t.stopped = true, true
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *fakeT) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// output is what it was told of its failure, so far.
func (t *fakeT) output() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.errors, "\n")
}

// runFake runs a test to its end, cleanups included.
func runFake(test func(testing.TB)) *fakeT {
	t := new(fakeT)
	inGoroutine(func() { test(t) })
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		f := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		inGoroutine(f)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	return t
}

// inGoroutine waits for f, which may end its goroutine.
func inGoroutine(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// run runs an example's test as go test would, and prints why it failed.
func run(test func(t testing.TB)) {
	if t := runFake(test); t.failed {
		fmt.Println("FAIL:", t.output())
	}
}

// says checks that a text has all parts.
func says(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("it does not say %q: %s", p, text)
		}
	}
}

// testContext ends before a test would be taken for hung.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

type Pin struct {
	Cid   string
	Depth int
}

var errDisk = errors.New("the disk is full")

func pinned(context.Context, Pin, *string) error { return nil }
