package rpc_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func TestUnary(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		var product int
		for _, args := range []any{&Args{2, 3}, Args{2, 3}} { // a pointer is as good as the value
			if err := s.client.Call(s.dest, "Svc", "Multiply", args, &product); err != nil || product != 6 {
				t.Fatalf("got %d, %v", product, err)
			}
			product = 0
			if err := s.client.CallContext(testContext(t), s.dest, "Svc", "Multiply", args, &product); err != nil || product != 6 {
				t.Fatalf("with a context: got %d, %v", product, err)
			}
		}
		var q Quotient
		for _, args := range []any{&Args{20, 6}, Args{20, 6}} {
			if err := s.client.Call(s.dest, "Svc", "Divide", args, &q); err != nil || q != (Quotient{3, 2}) {
				t.Fatalf("got %v, %v", q, err)
			}
		}
	})
}

func TestReplyBesideError(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		for _, ctx := range []context.Context{context.Background(), testContext(t)} {
			var n int
			err := s.client.CallContext(ctx, s.dest, "Svc", "ReplyAndError", 1, &n)
			if err == nil || err.Error() != "an error" || n != 42 || rpc.IsRPCError(err) {
				t.Fatalf("got %d, %v", n, err)
			}
		}
	})
}

func TestStream(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		args, replies := make(chan Args), make(chan Quotient)
		sendAll(ctx, args, Args{2, 3}, Args{6, 2}, Args{9, 5})
		got := collect(replies)
		if err := s.client.Stream(ctx, s.dest, "Svc", "Divides", args, replies); err != nil {
			t.Fatal(err)
		}
		if want := []Quotient{{0, 2}, {3, 0}, {1, 4}}; !slices.Equal(got(), want) {
			t.Fatalf("got other replies than %v", want)
		}
	})
}

func TestStreamError(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		args, replies := make(chan Args, 2), make(chan Quotient)
		args <- Args{6, 2}
		args <- Args{1, 0} // and stays open
		got := collect(replies)
		err := s.client.Stream(ctx, s.dest, "Svc", "Divides", args, replies)
		if err == nil || err.Error() != errDivide.Error() || rpc.IsRPCError(err) {
			t.Fatalf("got %v", err)
		}
		if !slices.Equal(got(), []Quotient{{3, 0}}) {
			t.Fatal("the reply before the error is lost")
		}
	})
}

func TestCancelReturnsAtOnceAndReachesTheMethod(t *testing.T) {
	t.Parallel()
	svc := &blocker{started: make(chan struct{}), ended: make(chan error, 1)}
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			s := tr.setup(t, options{})
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(testContext(t))
			result := make(chan error, 1)
			go func() { result <- s.client.CallContext(ctx, s.dest, "Svc", "Block", struct{}{}, new(int)) }()
			take(t, "the method begins", svc.started)
			cancel()
			if err := take(t, "the call ends", result); !errors.Is(err, context.Canceled) {
				t.Fatalf("the caller got %v", err)
			}
			if err := take(t, "the method is told", svc.ended); !errors.Is(err, context.Canceled) {
				t.Fatalf("the method got %v", err)
			}
		})
	}
}

type blocker struct {
	started chan struct{}
	ended   chan error
}

func (b *blocker) Block(ctx context.Context, _ struct{}, _ *int) error {
	b.started <- struct{}{}
	<-ctx.Done()
	b.ended <- ctx.Err()
	return ctx.Err()
}

// Wait is Block for a stream.
func (b *blocker) Wait(ctx context.Context, _ <-chan int, _ chan<- int) error {
	return b.Block(ctx, struct{}{}, nil)
}

func TestMultiStream(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		args, replies := make(chan Args), make(chan Quotient)
		sendAll(ctx, args, Args{2, 3}, Args{6, 2})
		got := collect(replies)
		errs := s.client.MultiStream(ctx, []peer.ID{s.dest, s.dest, s.dest}, "Svc", "Divides", args, replies)
		if err := errors.Join(errs...); err != nil || len(errs) != 3 {
			t.Fatal(errs)
		}
		if n := len(got()); n != 6 {
			t.Fatalf("%d replies, not 6", n)
		}
	})
}
