package values_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// keeper keeps what its UnmarshalBinary is given, which encoding.BinaryUnmarshaler
// forbids.
type keeper struct{ data []byte }

func (k keeper) MarshalBinary() ([]byte, error) { return k.data, nil }

func (k *keeper) UnmarshalBinary(b []byte) error {
	k.data = b
	return nil
}

// selfKeeper keeps what the codec library's decoder gives it.
type selfKeeper struct{ data []byte }

func (k *selfKeeper) CodecEncodeSelf(e *codec.Encoder) { e.MustEncode(k.data) }

func (k *selfKeeper) CodecDecodeSelf(d *codec.Decoder) {
	d.MustDecode(&k.data)
}

type keepers struct {
	One  keeper
	Many []keeper
	Self *selfKeeper
}

func newKeepers(i, size int) keepers {
	fill := func(n int) []byte { return bytes.Repeat([]byte{byte(i + n)}, size) }
	return keepers{keeper{fill(0)}, []keeper{{fill(1)}, {fill(2)}, {fill(3)}}, &selfKeeper{fill(4)}}
}

func (k *keepers) text() string {
	return fmt.Sprintf("%x %x %x", k.One, k.Many, k.Self.data)
}

type keeperService struct{ got chan keepers }

func (k keeperService) Take(_ context.Context, in keepers, out *keepers) error {
	k.got <- in
	*out = in
	return nil
}

// What a type is given to read itself from is its own: later messages, whose buffers
// are the same, do not change it.
func TestWhatATypeKeepsOfItsFormIsNeverChanged(t *testing.T) {
	t.Parallel()
	const calls = 30
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		svc := keeperService{make(chan keepers, calls)}
		s := with(svc, rig.Options{})
		for _, size := range []int{16, 255, 300, 40_000} {
			var want []string
			replies := make([]keepers, calls)
			args := make([]keepers, calls)
			for i := range calls {
				in := newKeepers(i, size)
				want = append(want, in.text())
				if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Take", in, &replies[i]); err != nil {
					t.Fatal(err)
				}
				args[i] = <-svc.got
			}
			for i := range calls {
				if args[i].text() != want[i] || replies[i].text() != want[i] {
					t.Fatalf("call %d of %d bytes: the argument or the reply has changed", i, size)
				}
			}
		}
	})
}
