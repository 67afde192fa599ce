package codec_test

import (
	"bytes"
	"reflect"
	"testing"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// A plan writes v0.6's form as the codec library writes it, byte for byte, and
// today's form as that does with its option for it.
func TestPlanWritesWhatTheLibraryWrites(t *testing.T) {
	t.Parallel()
	for _, v := range samples() {
		for form, library := range map[codec.Form]*ugorji.MsgpackHandle{codec.Plain: plainLibrary, codec.Modern: modernLibrary} {
			got, err := codec.Append(nil, v, form)
			if err != nil {
				t.Errorf("%T: %v", v, err)
				continue
			}
			if want := byLibrary(t, v, library); !bytes.Equal(got, want) {
				t.Errorf("%T %+v, form %d: got\n%x, want\n%x", v, v, form, got, want)
			}
		}
	}
}

// Of what is empty and omitted in an array v0.6 makes nil, and today's form does not.
func TestOmittedElementsOfAnArray(t *testing.T) {
	t.Parallel()
	v := &AsArray{S: []string{}}
	for form, want := range map[codec.Form][]byte{codec.Plain: byLibrary(t, v, plainLibrary), codec.Modern: []byte("\x93\x00\x90\xc0")} {
		if got, err := codec.Append(nil, v, form); err != nil || !bytes.Equal(got, want) {
			t.Errorf("form %d: %x, %v; want %x", form, got, err, want)
		}
	}
}

// What was encoded in today's form becomes v0.6's without a look at the value.
func TestTodaysFormBecomesPlain(t *testing.T) {
	t.Parallel()
	for _, v := range samples() {
		modern, err := codec.Encode(v, codec.Modern, false)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // once more is no more
			modern.ToPlain()
		}
		got := append(bytes.Clone(modern.Head), modern.User...)
		if want := byLibrary(t, v, plainLibrary); !bytes.Equal(got, want) {
			t.Errorf("%T %+v: got\n%x, want\n%x", v, v, got, want)
		}
		modern.Done()
	}
}

// A plan reads what it wrote, in both forms, and writes the same again.
func TestPlanReadsWhatItWrote(t *testing.T) {
	t.Parallel()
	for _, v := range samples() {
		for _, form := range []codec.Form{codec.Plain, codec.Modern} {
			b, err := codec.Append(nil, v, form)
			if err != nil {
				t.Fatal(err)
			}
			p, err := decode(b, reflect.TypeOf(v).Elem(), form, limits)
			if err != nil {
				t.Errorf("%T %+v, form %d: %v", v, v, form, err)
				continue
			}
			again, err := codec.Append(nil, p.Interface(), form)
			if err != nil || !bytes.Equal(sorted(again), sorted(b)) {
				if _, dynamic := v.(*Holds); dynamic {
					continue // an integer in an interface comes back as an int64
				}
				t.Errorf("%T %+v, form %d: %v, got\n%x, want\n%x", v, v, form, err, again, b)
			}
			for cut := range b {
				if _, err := decode(b[:cut:cut], reflect.TypeOf(v).Elem(), form, limits); err == nil {
					t.Errorf("%T: %d of %d bytes decode", v, cut, len(b))
				} else if cut > 200 {
					break
				}
			}
		}
	}
}

// Types whose values have a plan throughout do not go to the codec library.
func TestPlansDoWithoutTheLibrary(t *testing.T) {
	before := codec.Fallbacks()
	for _, v := range samples() {
		b, err := codec.Append(nil, v, codec.Modern)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(b, reflect.TypeOf(v).Elem(), codec.Modern, limits); err != nil {
			t.Fatal(err)
		}
	}
	if n := codec.Fallbacks() - before; n != 0 {
		t.Errorf("%d values went to the library", n)
	}
}

// Each limit is one that a message may reach, and not exceed.
func TestDecodingHoldsTheLimits(t *testing.T) {
	t.Parallel()
	for _, v := range samples() {
		b, err := codec.Append(nil, v, codec.Modern)
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(v).Elem()
		least := limits
		for _, limit := range []*int{&least.Bytes, &least.Values, &least.Depth} {
			for lo, hi := 1, *limit; lo < hi; { // the least that will do
				mid := (lo + hi) / 2
				if *limit = mid; msgpack.Check(b, least) == nil {
					hi = mid
				} else {
					lo = mid + 1
				}
				*limit = hi
			}
		}
		if _, err := decode(b, typ, codec.Modern, least); err != nil {
			t.Errorf("%T %+v within %+v: %v", v, v, least, err)
		}
		for i := range 3 {
			l := least
			if n := [...]*int{&l.Bytes, &l.Values, &l.Depth}[i]; *n > 1 {
				*n--
				if _, err := decode(b, typ, codec.Modern, l); err == nil {
					t.Errorf("%T %+v passes %+v, and takes %+v", v, v, l, least)
				}
			}
		}
	}
}
