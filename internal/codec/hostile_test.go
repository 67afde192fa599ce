package codec_test

import (
	"errors"
	"reflect"
	"testing"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/test/corpus"
)

// selves writes and reads itself, by the codec library.
type selves struct{ list []int }

func (s *selves) CodecEncodeSelf(e *ugorji.Encoder) { e.MustEncode(s.list) }
func (s *selves) CodecDecodeSelf(d *ugorji.Decoder) { d.MustDecode(&s.list) }

// No input is decoded that exceeds a limit, into no type, nor does it take much
// memory to find out.
func TestHostileInputsAreRefused(t *testing.T) {
	t.Parallel()
	all := append(types(), reflect.TypeFor[selves](), reflect.TypeFor[[]selves](), reflect.TypeFor[struct{ S selves }]())
	for _, h := range corpus.Hostile() {
		for _, typ := range all {
			for _, form := range []codec.Form{codec.Plain, codec.Modern} {
				if p, err := decode(h.B, typ, form, corpus.Production); err == nil {
					t.Errorf("%s decodes into a %v: %v", h.Name, typ, p.Elem())
				}
			}
		}
		_, err := decode(h.B, reflect.TypeFor[any](), codec.Modern, corpus.Production)
		var over *msgpack.LimitError
		longer := errors.Is(err, msgpack.ErrShort) // than what is left, which is found before what is in it
		if !(longer && h.Limit == msgpack.LimitValues) && (!errors.As(err, &over) || over.Limit != h.Limit) {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
}

// What v0.6 said is read by every type without harm.
func TestRecordedMessagesDecodeOrAreRefused(t *testing.T) {
	t.Parallel()
	for _, b := range corpus.Recorded(t) {
		for len(b) > 0 {
			n, err := msgpack.First(b, corpus.Production)
			if err != nil {
				break
			}
			for _, typ := range types() {
				_, err := decode(b[:n], typ, codec.Plain, corpus.Production)
				if errors.As(err, new(*codec.MalformedError)) {
					t.Errorf("%x into a %v: %v", b[:n], typ, err)
				}
			}
			b = b[n:]
		}
	}
}

// A type that goes to the library is counted, and held to the same limits.
func TestTheLibraryIsCountedAndHeldToTheLimits(t *testing.T) {
	before := codec.Fallbacks()
	v := struct{ S, T selves }{selves{[]int{1, 2}}, selves{}}
	b, err := codec.Append(nil, &v, codec.Modern)
	if err != nil {
		t.Fatal(err)
	}
	p, err := decode(b, reflect.TypeOf(v), codec.Modern, limits)
	if err != nil || !reflect.DeepEqual(p.Elem().Interface(), v) {
		t.Errorf("%+v arrives as %+v, %v", v, p.Elem(), err)
	}
	if n := codec.Fallbacks() - before; n != 3 { // two written, and one read: the other is nil
		t.Errorf("%d values went to the library", n)
	}
	few := limits
	few.Values = 5 // and there are 7
	if _, err := decode(b, reflect.TypeOf(v), codec.Modern, few); !errors.As(err, new(*msgpack.LimitError)) {
		t.Errorf("more values than there may be: %v", err)
	}
	_, err = codec.Decode(codec.Message{B: b, Form: codec.Modern, Limits: limits}, &v, 500, anAccount(1<<20))
	if !errors.Is(err, codec.ErrExpands) {
		t.Errorf("more memory than may be taken: %v", err)
	}
}

// What a result takes is in the account while it is decoded, is what is left in it
// after that, and is given back if there is no result.
func TestDecodedMemoryIsAccountedFor(t *testing.T) {
	t.Parallel()
	list := make([]Inner, 20000)
	b, err := codec.Append(nil, list, codec.Modern)
	if err != nil {
		t.Fatal(err)
	}
	m := codec.Message{B: b, Form: codec.Modern, Limits: msgpack.Limits{Bytes: 1 << 20, Values: 1 << 20, Depth: 3}}
	least := uint64(len(list)) * uint64(reflect.TypeFor[Inner]().Size())
	into := func(most int, cut int) (uint64, *account.Decoded, error) {
		var a account.Decoded
		a.Init(most)
		h := a.Of("peer")
		m := m
		m.B = b[:len(b)-cut]
		n, err := codec.Decode(m, new([]Inner), 64<<20, &h)
		return n, &a, err
	}
	size, a, err := into(1<<20, 0)
	if err != nil || size < least || size > 3*least {
		t.Errorf("%d bytes for a result of %d, %v", size, least, err)
	}
	h := a.Of("peer")
	if err := h.Take(1<<20-size, 1<<20); err != nil {
		t.Errorf("more than the %d bytes is taken: %v", size, err)
	}
	if err := h.Take(1, 1<<20); err == nil {
		t.Error("less is taken than is said")
	}
	for what, f := range map[string]func() (uint64, *account.Decoded, error){
		"no room":   func() (uint64, *account.Decoded, error) { return into(int(least), 0) },
		"cut short": func() (uint64, *account.Decoded, error) { return into(1<<20, 1) },
	} {
		_, a, err := f()
		if full := new(account.DecodedError); err == nil || errors.As(err, &full) != (what == "no room") {
			t.Errorf("%s: %v", what, err)
		}
		h := a.Of("peer")
		if err := h.Take(least, 1<<20); err != nil {
			t.Errorf("%s: something stays taken: %v", what, err)
		}
	}
}
