package account_test

import (
	"bytes"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

func TestGrowBuffer(t *testing.T) {
	t.Parallel()
	for _, have := range []int{0, 1, 100, 4 << 10, 1e5, 5 << 20} {
		for _, more := range []int{0, 1, 4 << 10, 1e5} {
			want := bytes.Repeat([]byte{7}, have)
			b := account.GrowBuffer(bytes.Clone(want), more)
			if !bytes.Equal(b, want) || cap(b)-len(b) < more {
				t.Errorf("%d and %d more: length %d, capacity %d", have, more, len(b), cap(b))
			}
			if again := account.GrowBuffer(b, more); have+more > 0 && &again[:1][0] != &b[:1][0] {
				t.Errorf("%d and %d more: grown without need", have, more)
			}
		}
	}
}

// A large buffer takes what was asked for, and is not kept in the pool: what
// nobody uses would be held there.
func TestLargeBuffersAreOfTheirOwnSize(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{1: 1, 5000: 8 << 10, 4 << 20: 4 << 20, 4<<20 + 1: 4<<20 + 1, 9 << 20: 9 << 20} {
		b := account.NewBuffer(size)
		if len(b) != size || cap(b) != want || account.BufferCap(size) != want {
			t.Errorf("%d: length %d, capacity %d, said to be %d", size, len(b), cap(b), account.BufferCap(size))
		}
		account.FreeBuffer(b)
	}
	account.FreeBuffer(nil)
}

func TestMemoryThatIsNotZeroedIsAsLargeAsItSays(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 33, 4 << 10, 1<<20 + 1, 8 << 20} {
		b := account.Unzeroed(n)
		if len(b) != n || cap(b) != n {
			t.Errorf("%d bytes: %d of %d", n, len(b), cap(b))
		}
		for i := range b {
			b[i] = 1
		}
	}
}
