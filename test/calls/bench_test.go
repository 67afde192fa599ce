package calls_test

import (
	"context"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// BenchmarkLocal calls a method that does nothing but multiply: directly, as a
// typed method, and by its names.
func BenchmarkLocal(b *testing.B) {
	c, s := rig.LocalOnly(b, rig.Options{})
	if err := rig.DivideMethod.Handle(s, rig.HandleDivide); err != nil {
		b.Fatal(err)
	}
	if err := s.RegisterName("Receiver", rig.Arith{}); err != nil {
		b.Fatal(err)
	}
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	ofReceiver := rpc.NewMethod[rig.Args, rig.Quotient]("Receiver", "Divide")
	args := rig.Args{A: 7, B: 2}
	for _, ctx := range []context.Context{context.Background(), cancellable} {
		name := "background"
		if ctx == cancellable {
			name = "cancellable"
		}
		for _, way := range []struct {
			name string
			call func() (rig.Quotient, error)
		}{
			{"function", func() (rig.Quotient, error) { return rig.HandleDivide(ctx, args) }},
			{"typed", func() (rig.Quotient, error) { return rig.DivideMethod.Call(ctx, c, "", args) }},
			{"typed, of a receiver", func() (rig.Quotient, error) { return ofReceiver.Call(ctx, c, "", args) }},
			{"by name, typed method", func() (q rig.Quotient, err error) { return q, c.CallContext(ctx, "", "Svc", "Divide", args, &q) }},
			{"by name", func() (q rig.Quotient, err error) { return q, c.CallContext(ctx, "", "Receiver", "Divide", args, &q) }},
		} {
			b.Run(name+"/"+way.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := way.call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
