package main

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

func BenchmarkEncodeSpans(b *testing.B) {
	for _, n := range rig.SpanCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			spans := rig.NewSpans(n)
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = codec.Append(buf[:0], spans, codec.Modern); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecodeSpans(b *testing.B) {
	for _, n := range rig.SpanCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf, err := codec.Append(nil, rig.NewSpans(n), codec.Modern)
			if err != nil {
				b.Fatal(err)
			}
			var a account.Decoded
			a.Init(1 << 30)
			m := codec.Message{B: buf, Form: codec.Modern, Limits: msgpack.Limits{Bytes: 1 << 20, Values: 1 << 20, Depth: 10}}
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				h := a.Of("peer")
				var spans []rig.Span
				size, err := codec.Decode(m, &spans, 1<<30, &h)
				if err != nil {
					b.Fatal(err)
				}
				h.Free(size)
			}
		})
	}
}
