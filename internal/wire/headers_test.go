package wire_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

func TestHeadersAreRecognized(t *testing.T) {
	t.Parallel()
	var seen wire.Headers
	headers := []wire.Header{
		{Service: "S", Method: "M", Kind: wire.KindUnary},
		{Service: "S", Method: "M"},
		{Service: "S", Method: "N", Kind: wire.KindUnary, Timeout: time.Second},
		{Service: "S", Method: "Mine", Kind: wire.KindUnary, Timeout: 1},
	}
	for _, h := range headers {
		b := wire.AppendHeader(nil, &h)
		if _, _, ok := seen.Find(b); ok {
			t.Errorf("%+v is known", h)
		}
		seen.Keep(b, &h)
	}
	for _, h := range headers {
		for _, timeout := range []time.Duration{h.Timeout, min(h.Timeout, 1) * time.Hour} {
			h.Timeout = timeout
			b := wire.AppendHeader(nil, &h)
			got, n, ok := seen.Find(append(b, "the argument"...))
			if !ok || n != len(b) || !reflect.DeepEqual(got, h) {
				t.Errorf("%+v is %+v, %d of %d bytes, %v", h, got, n, len(b), ok)
			}
			if _, _, ok := seen.Find(b[:len(b)-1]); ok && timeout == 0 {
				t.Errorf("%+v is known by a part", h)
			}
		}
	}
	other := wire.Header{Service: "S", Method: "Other", Kind: wire.KindUnary, Metadata: map[string]string{"k": "v"}}
	seen.Keep(wire.AppendHeader(nil, &other), &other)
	if _, _, ok := seen.Find(wire.AppendHeader(nil, &other)); ok {
		t.Error("one with metadata is kept")
	}
	for range 20 { // the oldest goes
		other = wire.Header{Service: "S", Method: other.Method + "s"}
		seen.Keep(wire.AppendHeader(nil, &other), &other)
	}
	if _, _, ok := seen.Find(wire.AppendHeader(nil, &headers[0])); ok {
		t.Error("all are kept")
	}
}

// What is recognized is what reading it would have been.
func FuzzHeaders(f *testing.F) {
	for _, h := range []wire.Header{
		{Service: "S", Method: "M", Kind: wire.KindUnary},
		{Service: "S", Method: "M", Kind: wire.KindUnary, Timeout: 70000},
	} {
		b := wire.AppendHeader(nil, &h)
		f.Add(b, b)
		f.Add(b, append(b[:len(b)-1:len(b)-1], 0xff))
		f.Add(b, b[:len(b)-1])
	}
	addPairs := [][]byte{unhex("83", pair("Name", unhex("a153")), pair("Method", unhex("a14d")), pair("Timeout", unhex("05"))), unhex("80")}
	for _, b := range addPairs {
		f.Add(b, append(b, 1))
	}
	f.Fuzz(func(t *testing.T, kept, b []byte) {
		n, err := msgpack.First(kept, headerLimits)
		if err != nil {
			return
		}
		h, err := wire.ParseHeader(kept[:n])
		if err != nil {
			return
		}
		var seen wire.Headers
		seen.Keep(kept[:n], &h)
		found, n, ok := seen.Find(b)
		if !ok {
			return
		}
		want, err := msgpack.First(b, headerLimits)
		if err != nil || n != want {
			t.Fatalf("%x: found %d bytes, not %d, %v", b, n, want, err)
		}
		if h, err := wire.ParseHeader(b[:n]); err != nil || !reflect.DeepEqual(h, found) {
			t.Fatalf("%x: found %+v, not %+v, %v", b, found, h, err)
		}
	})
}
