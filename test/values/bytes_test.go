package values_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// keeping keeps the arguments and the replies of its method.
type keeping struct {
	mu  sync.Mutex
	all map[string][]byte // by what they were
}

func (k *keeping) keep(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[string(b)] = b
}

func (k *keeping) Reversed(_ context.Context, arg []byte, r *[]byte) error {
	k.keep(arg)
	*r = reversed(arg)
	return nil
}

func reversed(b []byte) []byte {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return b
}

var keptSizes = []int{0, 1, 4 << 10, 16 << 10, 32 << 10, 64<<10 + 1, 256 << 10, 1<<20 - 5, 3 << 20}

// Bytes are their method's, and their caller's, to keep and to append to: what
// comes next is read into other memory. The memory of what a caller's variable
// held before is not written to, even if it is large enough.
func TestBytesAreTheReceiversToKeep(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		k := &keeping{all: make(map[string][]byte)}
		s := with(k, rig.Options{})
		var wg sync.WaitGroup
		for caller := range 4 {
			wg.Go(func() {
				for n, size := range keptSizes {
					arg := bytes.Repeat(fmt.Appendf(nil, "%d.%d,", caller, n), size/4+1)[:size]
					var r []byte
					own := bytes.Repeat([]byte{'o'}, size+1)
					if caller == 0 {
						r = own[:1]
					}
					if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Reversed", arg, &r); err != nil || len(r) != size {
						t.Errorf("%d bytes of %d, %v", len(r), size, err)
						return
					}
					if !bytes.Equal(r, reversed(arg)) {
						t.Errorf("%d bytes are others", size)
					}
					if len(bytes.Trim(own, "o")) > 0 {
						t.Errorf("%d bytes are in the memory of what was there before", size)
					}
					k.keep(r)
				}
			})
		}
		wg.Wait()
		for want, b := range k.all {
			if string(b) != want {
				t.Errorf("%d bytes have changed", len(b))
			}
			_ = append(b, "more, and beside nobody's"...)
		}
		for want, b := range k.all {
			if string(b) != want {
				t.Errorf("%d bytes have changed by an append to others", len(b))
			}
		}
	})
}
