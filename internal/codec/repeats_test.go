package codec

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Strings that come again are one; none is taken for another that has the same ends
// and length, and none is kept when the message is decoded.
func TestStringsThatComeAgain(t *testing.T) {
	var want []string
	for i := range 500 {
		want = append(want, "the same", fmt.Sprintf("beginning %05d the end, which is alike", i), fmt.Sprint(i%10), fmt.Sprintf("%d", i))
	}
	for _, form := range []Form{Plain, Modern} {
		b, err := Append(nil, want, form)
		if err != nil {
			t.Fatal(err)
		}
		d := new(decoder)
		var a account.Decoded
		a.Init(1 << 30)
		h := a.Of("peer")
		d.init(Message{B: b, Form: form, Limits: msgpack.Limits{Bytes: 1 << 20, Values: 1 << 20, Depth: 10}}, 1<<20, &h)
		var got []string
		if !decodeStrings(d, unsafe.Pointer(&got)) {
			t.Fatal(d.err)
		}
		if !slices.Equal(got, want) {
			t.Error("other strings came back")
		}
		if unsafe.StringData(got[0]) != unsafe.StringData(got[len(got)-4]) {
			t.Error("a string that came again was allocated again")
		}
		if d.release(); *d.room != (repeats{}) || d.repeats != nil {
			t.Error("strings are kept")
		}
	}
}
