package codec_test

import (
	"reflect"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
)

// guarded has a part that cannot travel, of which a peer may send that it is nil.
type guarded struct {
	F    func()
	A, B int
}

func TestNilForAPartThatCannotTravelIsNoLoss(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"first":  "\xa1F\xc0\xa1A\x01\xa1B\x02",
		"middle": "\xa1A\x01\xa1F\xc0\xa1B\x02",
		"last":   "\xa1A\x01\xa1B\x02\xa1F\xc0",
	} {
		for _, form := range []codec.Form{codec.Plain, codec.Modern} {
			v, err := decode([]byte("\x83"+fields), reflect.TypeFor[guarded](), form, limits)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := v.Elem().Interface().(guarded); got.A != 1 || got.B != 2 {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
	if _, err := decode([]byte("\x82\xa1F\x01\xa1A\x01"), reflect.TypeFor[guarded](), codec.Modern, limits); err == nil {
		t.Error("a part that cannot travel came, and nobody says so")
	}
}

// A pointer type that leads to itself has no container that the depth would count.
type endless *endless

func TestPointersInARowAreBounded(t *testing.T) {
	t.Parallel()
	if _, err := decode([]byte("\x01"), reflect.TypeFor[endless](), codec.Modern, limits); err == nil {
		t.Error("a value was found")
	}
}
