package codec_test

import (
	"bytes"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
)

type (
	money    struct{ cents int }
	halfForm struct{ n int }
	jsonOnly struct{ n int }
	gobOnly  struct{ n int }

	besideTime struct {
		time.Time
		Name  string
		Stays string `codec:"-"`
	}
	besideNumber struct {
		tinyForm
		Name string
	}
	tinyForm byte
	declares struct {
		time.Time
		Name string
	}
	declaresByPtr struct {
		time.Time
		Name string
	}
	common   struct{ X int }
	embedPtr struct {
		*common
		Own string
	}
	embedPtrStays struct {
		*common `codec:"-"`
		Own     string
	}
	left  struct{ Same string }
	right struct{ Same string }
	both  struct {
		left
		right
	}
	taggedTwice struct {
		A int `codec:"n"`
		B int `codec:"n"`
	}
	embedsHidden struct {
		money
		Own string
	}
	twoForms struct {
		time.Time
		tinyForm //lint:ignore U1000 that it is there is what counts
		Own      string
	}
	locked struct {
		sync.Mutex
		N int
	}
	mixed struct {
		Shown  int
		hidden int
	}
)

func (h halfForm) MarshalBinary() ([]byte, error)       { return []byte{byte(h.n)}, nil }
func (j jsonOnly) MarshalJSON() ([]byte, error)         { return []byte{'1'}, nil }
func (g gobOnly) GobEncode() ([]byte, error)            { return []byte{1}, nil }
func (n tinyForm) MarshalBinary() ([]byte, error)       { return []byte{byte(n)}, nil }
func (n *tinyForm) UnmarshalBinary(b []byte) error      { *n = tinyForm(b[0]); return nil }
func (d declares) MarshalBinary() ([]byte, error)       { return []byte(d.Name), nil }
func (d *declares) UnmarshalBinary(b []byte) error      { d.Name = string(b); return nil }
func (d *declaresByPtr) MarshalBinary() ([]byte, error) { return []byte(d.Name), nil }
func (d *declaresByPtr) UnmarshalBinary(b []byte) error { d.Name = string(b); return nil }

// What a value would lose is an error that names the field; a zero part loses
// nothing; and what can be known of a type is known before.
func TestWhatWouldBeLostIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	var number atomic.Int64
	number.Store(3)
	now := time.Unix(5, 0).UTC()
	type holds[T any] struct{ In T }
	for _, c := range []struct {
		value any    // loses something
		names string // of the error
		zero  any    // of the same type, and loses nothing; nil: the zero value
	}{
		{money{5}, "it is a codec_test.money, which has no exported fields", nil},
		{holds[money]{money{5}}, "field In is a codec_test.money", nil},
		{holds[[]*money]{[]*money{nil, {5}}}, "field In[1] is a codec_test.money", holds[[]*money]{[]*money{{}}}},
		{halfForm{5}, "MarshalBinary without UnmarshalBinary", nil},
		{jsonOnly{5}, "only a JSON form", nil},
		{gobOnly{5}, "only a gob form", nil},
		{*big.NewInt(5), "only a text form", nil},
		{bytes.NewBufferString("x"), "bytes.Buffer, which has no exported fields", new(bytes.Buffer)},
		{&number, "atomic.Int64", new(atomic.Int64)},
		{besideTime{now, "x", ""}, "field Name is beside an embedded time.Time", besideTime{now, "", "x"}},
		{besideNumber{1, "x"}, "field Name is beside an embedded codec_test.tinyForm", besideNumber{1, ""}},
		{embedPtr{&common{1}, ""}, "field common is an embedded pointer to the unexported type codec_test.common", embedPtr{nil, "own"}},
		{both{right: right{"x"}}, "field Same is of the same name as another field", both{left: left{"x"}}},
		{taggedTwice{B: 1}, "field B is of the same name as another field, n", taggedTwice{A: 1}},
		{embedsHidden{money{5}, ""}, "field money is a codec_test.money", embedsHidden{Own: "x"}},
		{twoForms{Time: now}, "field Time is an embedded time.Time", twoForms{Own: "x"}},
		{holds[complex64]{1i}, "field In is a complex number with an imaginary part", holds[complex64]{1}},
	} {
		typ := reflect.TypeOf(c.value)
		for _, form := range []codec.Form{codec.Plain, codec.Modern} {
			_, err := codec.Append(nil, c.value, form)
			var part *codec.PartError
			if !errors.As(err, &part) || !strings.Contains(err.Error(), c.names) {
				t.Errorf("%v: got %v", typ, err)
			}
			if c.zero == nil {
				c.zero = reflect.Zero(typ).Interface()
			}
			if _, err := codec.Append(nil, c.zero, form); err != nil {
				t.Errorf("%v, where it loses nothing: %v", typ, err)
			}
		}
		if err := codec.Partly(typ); (err == nil) != (typ == reflect.TypeFor[holds[complex64]]()) {
			t.Errorf("Partly of %v: %v", typ, err)
		}
		for _, inside := range []any{[]any{c.value}, map[string]any{"k": &c.value}} {
			if _, err := codec.Append(nil, inside, codec.Modern); !errors.As(err, new(*codec.PartError)) {
				t.Errorf("%v in an any: %v", typ, err)
			}
		}
	}
	if _, err := codec.Append(nil, []any{errors.New("x")}, codec.Modern); !errors.As(err, new(*codec.PartError)) {
		t.Errorf("an error in an any: %v", err)
	}
}

// What is meant to stay, and what never travels anywhere, is no loss.
func TestWhatIsMeantToStayIsNoLoss(t *testing.T) {
	t.Parallel()
	l := locked{N: 1}
	l.Lock()
	for _, v := range []any{
		mixed{1, 2}, embedPtrStays{&common{1}, "own"}, &l, declares{Name: "n", Time: time.Unix(1, 0)}, &declaresByPtr{Name: "n", Time: time.Unix(1, 0)},
		struct{}{}, Embeds{Base: Base{X: "hidden by X"}}, time.Now(), struct{ _ int }{},
	} {
		if _, err := codec.Append(nil, v, codec.Modern); err != nil {
			t.Errorf("%T: %v", v, err)
		}
		if err := codec.Partly(reflect.TypeOf(v)); err != nil {
			t.Errorf("Partly of %T: %v", v, err)
		}
	}
}
