package msgpack_test

import (
	"math"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

func TestGreatIntegers(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{0, math.MaxUint32, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		b := msgpack.AppendUint(nil, n)
		got, ok := msgpack.Great(b)
		if ok != (n > math.MaxInt64) || ok && got != n {
			t.Errorf("%d is read as %d, %v", n, got, ok)
		}
		within := append(append([]byte{0x92, headUint64, 0, 0, 0, 0, 0, 0, 0, 1}, b...), 0xc0)
		if may := msgpack.MayHoldGreat(within); may != ok {
			t.Errorf("%x may hold one: %v", within, may)
		}
		if ok {
			for i := range b { // what is cut off is none, and nothing is read beyond it
				if _, ok := msgpack.Great(b[:i:i]); ok || msgpack.MayHoldGreat(b[:i:i]) {
					t.Errorf("%x holds none", b[:i])
				}
			}
		}
	}
	for _, v := range []any{int64(-1), math.Inf(-1), "x", nil} {
		if b := encode(t, v); msgpack.MayHoldGreat(b) {
			t.Errorf("%v is one", v)
		}
	}
}

const headUint64 = 0xcf
