package codec

import (
	"slices"
	"testing"
)

// What one value takes is never counted lower than what the allocator gives it.
func TestAllocatedIsWhatTheAllocatorTakes(t *testing.T) {
	t.Parallel()
	for n, takes := 1, 0; n < 1<<20; n = takes + 1 {
		takes = cap(slices.Grow([]byte(nil), n))
		if got := allocated(uintptr(n)); got < uint64(takes) {
			t.Fatalf("%d bytes take %d, and count as %d", n, takes, got)
		}
	}
}
