// Package faults_test has peers call each other over links that are frozen, killed,
// slowed, trimmed and relayed, while servers are restarted: at random, from a seed that
// gives the same schedule again.
package faults_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	length = flag.Duration("faults", 6*time.Second, "how long TestFaults runs")
	seed   = flag.Uint64("seed", 0, "of the first round; 0: a new one")
)

// roundLength is how long one set of peers lives: what is noted of its calls is bounded.
const roundLength = 20 * time.Second

// seeds of rounds in which something was once found.
var seeds []uint64

// TestFaults runs rounds, and fails with the seeds of those in which a promise was broken.
// Not parallel: it counts goroutines and bytes.
func TestFaults(t *testing.T) {
	for _, s := range seeds {
		round(t, s, roundLength)
	}
	next := *seed
	if next == 0 {
		next = rand.Uint64N(1_000_000) + 1
	}
	for left := *length; left > 0 && !t.Failed(); left -= roundLength {
		round(t, next, min(left, roundLength))
		next++
	}
}

// round fails the test if a promise is broken. It is a test of its own, so that its hosts
// are gone before the next.
func round(t *testing.T, seed uint64, d time.Duration) {
	t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
		w := newWorld(t, seed, d, planted{})
		w.run()
		t.Logf("go test ./test/faults -run TestFaults -seed %d -faults %v: %v", seed, d, &w.book)
		if broken := w.book.check(); len(broken) > 0 {
			for _, e := range w.events {
				t.Log(e)
			}
			for _, b := range broken[:min(len(broken), 20)] {
				t.Error(b)
			}
			t.Errorf("%d promises are broken with seed %d", len(broken), seed)
		}
	})
}
