package codec_test

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// stricter are the refusals of what the codec library takes. docs/wire.md has the
// rules.
var stricter = regexp.MustCompile(`elements where|bytes where|where a bool is expected|does not fit` +
	`|array where bytes is expected|array where a string is expected|map where an array is expected` +
	`|array where the name of a field|cannot travel|array where the binary form`)

// looser are the refusals of the library where a plan takes what is there: a whole
// float that is exact, and the zero value of a type with a form of its own.
var looser = regexp.MustCompile(`with a fraction|begins with <|wrong extension|unhashable|hash of|invalid container type|cannot infer|index out`)

// FuzzPlanAgainstLibrary holds plans and the codec library against each other: what
// both decode is the same value, and both encode it to the same bytes.
func FuzzPlanAgainstLibrary(f *testing.F) {
	all := types()
	for _, v := range samples() {
		for i, t := range all {
			if t == reflect.TypeOf(v).Elem() {
				b, err := codec.Append(nil, v, codec.Plain)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(uint8(i), b[:min(len(b), 1<<12)])
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		typ := all[int(which)%len(all)]
		l := msgpack.Limits{Bytes: 4 << 10, Values: 512, Depth: 16}
		p, err := decode(b, typ, codec.Plain, l)
		_, modern := decode(b, typ, codec.Modern, l)
		malformed := msgpack.Check(b, l)
		for _, err := range []error{err, modern} {
			switch {
			case err != nil && strings.Contains(err.Error(), "cannot decode into"):
				t.Fatalf("%v: %x makes a plan panic: %v", typ, b, err)
			case malformed != nil && err == nil:
				t.Fatalf("%v: %x decodes, but: %v", typ, b, malformed)
			case malformed == nil && errors.As(err, new(*codec.MalformedError)):
				t.Fatalf("%v: %x is one value within the limits, but: %v", typ, b, err)
			}
		}
		if malformed != nil {
			return // what the library makes of it is not asked
		}
		roundTrip(t, typ, p, err)
		if repeats(b) {
			return // the library decodes into what is there
		}
		want := reflect.New(typ)
		libErr := ugorji.NewDecoderBytes(b, plainLibrary).Decode(want.Interface())
		switch {
		case err != nil && libErr == nil && !stricter.MatchString(err.Error()):
			t.Fatalf("%v: %x is refused: %v", typ, b, err)
		case err == nil && libErr != nil && !looser.MatchString(libErr.Error()):
			t.Fatalf("%v: %x is taken as %+v, but: %v", typ, b, p.Elem(), libErr)
		case err == nil && libErr == nil:
			got, want := encoded(t, p), encoded(t, want)
			if !bytes.Equal(sorted(got), sorted(want)) {
				t.Fatalf("%v: %x decodes to\n%x, want\n%x", typ, b, got, want)
			}
		}
	})
}

func encoded(t *testing.T, p reflect.Value) []byte {
	t.Helper()
	b, err := codec.Append(nil, p.Interface(), codec.Modern)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// roundTrip encodes what was decoded, in both ways and both forms.
func roundTrip(t *testing.T, typ reflect.Type, p reflect.Value, err error) {
	t.Helper()
	if err != nil {
		return
	}
	if v, ok := p.Interface().(*AsArray); ok && len(v.S) == 0 {
		v.S = nil // or the forms differ: see TestOmittedElementsOfAnArray
	}
	plain, err := codec.Append(nil, p.Interface(), codec.Plain)
	if err != nil {
		t.Fatalf("%v: %+v is decoded, and not encoded: %v", typ, p.Elem(), err)
	}
	if want := byLibrary(t, p.Interface(), plainLibrary); !bytes.Equal(sorted(plain), sorted(want)) {
		t.Fatalf("%v: %+v is encoded as\n%x, want\n%x", typ, p.Elem(), plain, want)
	}
	modern := encoded(t, p)
	if got := msgpack.AppendPlain(nil, modern); !bytes.Equal(sorted(got), sorted(plain)) {
		t.Fatalf("%v: %+v becomes\n%x, want\n%x", typ, p.Elem(), got, plain)
	}
	again, err := decode(modern, typ, codec.Modern, limits)
	if err != nil {
		t.Fatalf("%v: %+v is encoded as %x, which is refused: %v", typ, p.Elem(), modern, err)
	}
	if got := encoded(t, again); len(got) != len(modern) && !holdsAny(typ, make(map[reflect.Type]bool)) {
		t.Fatalf("%v: %+v comes back as %+v", typ, p.Elem(), again.Elem())
	}
}

// holdsAny reports whether a value of the type may have a number in an any, which
// comes back as an int64 and may then be written longer.
func holdsAny(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Map:
		return holdsAny(t.Key(), seen) || holdsAny(t.Elem(), seen)
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return holdsAny(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsAny(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return t == reflect.TypeFor[Holds]()
}

// repeats reports whether a map in b may have a key twice.
func repeats(b []byte) bool {
	found := false
	var value func(b []byte) []byte
	value = func(b []byte) []byte {
		h, ok := msgpack.Parse(b)
		if !ok {
			return nil
		}
		rest := b[uint64(h.Size)+h.Payload:]
		keys := make(map[string]bool)
		for i := range h.Children {
			before := rest
			rest = value(rest)
			if h.Kind == msgpack.KindMap && i%2 == 0 {
				key := before[:len(before)-len(rest)]
				if s, ok := msgpack.OnlyString(key); ok {
					key = s
				}
				if k, ok := msgpack.Parse(key); ok && (k.Kind == msgpack.KindInt || k.Kind == msgpack.KindFloat || k.Kind == msgpack.KindNil || k.Kind == msgpack.KindBool) {
					found = found || h.Children > 2 // one number has many forms
				}
				found = found || keys[string(key)]
				keys[string(key)] = true
			}
		}
		return rest
	}
	value(b)
	return found
}
