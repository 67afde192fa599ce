package account

import (
	"math/bits"
	"strings"
	"unsafe"

	pool "github.com/libp2p/go-buffer-pool"
)

// pooled is the largest buffer that comes from the pool: those are powers of
// two in size, of a large one too much would be for nothing, and the pool holds
// what nobody uses.
const pooled = 4 << 20

// NewBuffer returns one of that length, whose capacity is BufferCap's.
func NewBuffer(size int) []byte {
	if size > pooled {
		return Unzeroed(size)
	}
	return pool.Get(size)[:size:BufferCap(size)]
}

// Unzeroed returns a buffer that is not of the pool, with whatever is in that memory:
// its reader overwrites all that it hands over. To zero a large one takes as long as to
// copy it, and only a strings.Builder has memory that Go has not zeroed.
func Unzeroed(size int) []byte {
	if size == 0 {
		return nil
	}
	var b strings.Builder
	b.Grow(size)
	_ = b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), size)
}

// BufferCap is how much memory a new buffer takes.
func BufferCap(size int) int {
	if size > pooled {
		return size
	}
	return 1 << bits.Len(uint(size-1))
}

// FreeBuffer gives a buffer to the pool, unless it is of a size of its own.
func FreeBuffer(b []byte) {
	if n := cap(b); n > 0 && n <= pooled && n&(n-1) == 0 {
		pool.Put(b)
	}
}

// GrowBuffer makes room for n more bytes in b, a buffer that it frees if there
// is too little.
func GrowBuffer(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := NewBuffer(len(b) + n)[:len(b)]
	copy(grown, b)
	FreeBuffer(b)
	return grown
}
