package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// record is a call that has ended.
type record struct {
	id          int
	what        string
	idempotent  bool
	took, bound time.Duration
	err         error
}

// book has the calls of a round, and what methods say of them. Its methods are safe for
// concurrent use.
type book struct {
	mu      sync.Mutex
	calls   []record
	ran     map[int]int
	ends    map[codes.Code]int
	broken  []string
	peak    uint64 // bytes of the heap
	allowed uint64
}

func (b *book) runs(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ran[id]++
}

func (b *book) ended(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, r)
	b.ends[rpc.CodeOf(r.err)]++
}

// breaks notes a promise that was broken.
func (b *book) breaks(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = append(b.broken, fmt.Sprintf(format, args...))
}

// The promises, by the words that begin what is said of one that was broken.
const (
	inBound     = "every call ends within its bound"
	unsentRan   = "no call that was unsent ran"
	twice       = "no call ran twice unless idempotent"
	succeeded   = "every call that succeeded ran"
	goroutines  = "no goroutine is left"
	reservation = "no reservation is left"
	memory      = "memory is within the formula"
)

// check returns the promises that were broken. Everything has ended.
func (b *book) check() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	broken := slices.Clone(b.broken)
	for _, r := range b.calls {
		ran := b.ran[r.id]
		what := fmt.Sprintf("call %d (%s, idempotent %v), which ran %d times and ended after %v: %v", r.id, r.what, r.idempotent, ran, r.took, r.err)
		if r.took > r.bound+rig.Late {
			broken = append(broken, fmt.Sprintf("%s, of %v: %s", inBound, r.bound, what))
		}
		if r.err != nil && rig.Unsent(r.err) && ran > 0 {
			broken = append(broken, unsentRan+": "+what)
		}
		if ran > 1 && !r.idempotent {
			broken = append(broken, twice+": "+what)
		}
		if r.err == nil && ran == 0 {
			broken = append(broken, succeeded+": "+what)
		}
	}
	if b.peak > b.allowed {
		broken = append(broken, fmt.Sprintf("%s: %d MiB, and %d may be", memory, b.peak>>20, b.allowed>>20))
	}
	return broken
}

// String says how the calls ended.
func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ends := make([]string, 0, len(b.ends))
	for _, c := range slices.Sorted(maps.Keys(b.ends)) {
		ends = append(ends, fmt.Sprintf("%d %v", b.ends[c], c))
	}
	return fmt.Sprintf("%s; heap at most %d MiB of %d", strings.Join(ends, ", "), b.peak>>20, b.allowed>>20)
}
