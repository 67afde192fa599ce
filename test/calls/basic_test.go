package calls_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestUnary(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		var product int
		for _, args := range []any{&rig.Args{A: 2, B: 3}, rig.Args{A: 2, B: 3}} { // a pointer is as good as the value
			if err := s.Client.Call(s.Dest, "Svc", "Multiply", args, &product); err != nil || product != 6 {
				t.Fatalf("got %d, %v", product, err)
			}
			product = 0
			if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", args, &product); err != nil || product != 6 {
				t.Fatalf("with a context: got %d, %v", product, err)
			}
		}
		var q rig.Quotient
		for _, args := range []any{&rig.Args{A: 20, B: 6}, rig.Args{A: 20, B: 6}} {
			if err := s.Client.Call(s.Dest, "Svc", "Divide", args, &q); err != nil || q != (rig.Quotient{Quo: 3, Rem: 2}) {
				t.Fatalf("got %v, %v", q, err)
			}
		}
	})
}

func TestReplyBesideError(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, ctx := range []context.Context{context.Background(), rig.Context(t)} {
			var n int
			err := s.Client.CallContext(ctx, s.Dest, "Svc", "ReplyAndError", 1, &n)
			if err == nil || err.Error() != "an error" || n != 42 || rpc.IsRPCError(err) {
				t.Fatalf("got %d, %v", n, err)
			}
		}
	})
}

func TestStream(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		args, replies := make(chan rig.Args), make(chan rig.Quotient)
		rig.SendAll(ctx, args, rig.Args{A: 2, B: 3}, rig.Args{A: 6, B: 2}, rig.Args{A: 9, B: 5})
		got := rig.Collect(replies)
		if err := s.Client.Stream(ctx, s.Dest, "Svc", "Divides", args, replies); err != nil {
			t.Fatal(err)
		}
		if want := []rig.Quotient{{Quo: 0, Rem: 2}, {Quo: 3, Rem: 0}, {Quo: 1, Rem: 4}}; !slices.Equal(got(), want) {
			t.Fatalf("got other replies than %v", want)
		}
	})
}

func TestStreamError(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		args, replies := make(chan rig.Args, 2), make(chan rig.Quotient)
		args <- rig.Args{A: 6, B: 2}
		args <- rig.Args{A: 1, B: 0} // and stays open
		got := rig.Collect(replies)
		err := s.Client.Stream(ctx, s.Dest, "Svc", "Divides", args, replies)
		if err == nil || err.Error() != rig.ErrDivide.Error() || rpc.IsRPCError(err) {
			t.Fatalf("got %v", err)
		}
		if !slices.Equal(got(), []rig.Quotient{{Quo: 3, Rem: 0}}) {
			t.Fatal("the reply before the error is lost")
		}
	})
}

func TestCancelReturnsAtOnceAndReachesTheMethod(t *testing.T) {
	t.Parallel()
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			s := tr.With(t, svc, rig.Options{})
			ctx, cancel := context.WithCancel(rig.Context(t))
			result := make(chan error, 1)
			go func() { result <- s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int)) }()
			rig.Take(t, "the method begins", svc.Started)
			cancel()
			if err := rig.Take(t, "the call ends", result); !errors.Is(err, context.Canceled) {
				t.Fatalf("the caller got %v", err)
			}
			if err := rig.Take(t, "the method is told", svc.Ended); !errors.Is(err, context.Canceled) {
				t.Fatalf("the method got %v", err)
			}
		})
	}
}

func TestMultiStream(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		args, replies := make(chan rig.Args), make(chan rig.Quotient)
		rig.SendAll(ctx, args, rig.Args{A: 2, B: 3}, rig.Args{A: 6, B: 2})
		got := rig.Collect(replies)
		errs := s.Client.MultiStream(ctx, []peer.ID{s.Dest, s.Dest, s.Dest}, "Svc", "Divides", args, replies)
		if err := errors.Join(errs...); err != nil || len(errs) != 3 {
			t.Fatal(errs)
		}
		if n := len(got()); n != 6 {
			t.Fatalf("%d replies, not 6", n)
		}
	})
}
