package rpctest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// CheckLeaks fails the test if goroutines that were started after it are still
// running when the test has ended and everything that was set up after it has
// been closed. It gives them 10 seconds to end. Call it first in a test.
//
// It looks at the goroutines of the whole process: a test that uses it must not
// run in parallel with others. A test that has failed for other reasons is not
// looked at.
func CheckLeaks(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return
		}
		var err error
		for late := time.Now().Add(patience); ; {
			if err = goleak.Find(before); err == nil {
				return
			}
			if time.Now().After(late) {
				break
			}
		}
		t.Errorf("rpctest: goroutines outlive the test: %v", err)
	})
}
