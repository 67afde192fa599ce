package main

import (
	"reflect"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// What is measured goes through the library's own plans, and not through the codec
// library.
func TestWhatIsMeasuredHasPlans(t *testing.T) {
	before := codec.Fallbacks()
	var a account.Decoded
	a.Init(1 << 30)
	h := a.Of("peer")
	for _, v := range []any{rig.NewSpans(10), rig.Args{}, rig.Record{}, Args{}, Record{}, []byte("x"), 1, rig.Attribute{}} {
		b, err := codec.Append(nil, v, codec.Modern)
		if err != nil {
			t.Fatal(err)
		}
		into := reflect.New(reflect.TypeOf(v))
		m := codec.Message{B: b, Form: codec.Modern, Limits: msgpack.Limits{Bytes: 1 << 20, Values: 1 << 20, Depth: 10}}
		if _, err := codec.Decode(m, into.Interface(), 1<<30, &h); err != nil {
			t.Fatal(err)
		}
	}
	if n := codec.Fallbacks() - before; n != 0 {
		t.Errorf("%d values went to the codec library", n)
	}
}
