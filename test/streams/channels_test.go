package streams_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// habits has methods that need all that is done to a channel, for items of one
// type.
type habits[T any] struct {
	item  T
	ended chan error
}

func (habits[T]) Echo(_ context.Context, in <-chan T, out chan<- T) error {
	for v := range in {
		out <- v
	}
	return nil
}

func (h habits[T]) Three(_ context.Context, _ <-chan T, out chan<- T) error {
	for range 3 {
		out <- h.item
	}
	return nil
}

// Heedless sends on when its context has ended.
func (h habits[T]) Heedless(ctx context.Context, in <-chan T, out chan<- T) error {
	<-in
	for range 1000 {
		out <- h.item
	}
	<-ctx.Done()
	for range 1000 {
		out <- h.item
	}
	h.ended <- ctx.Err()
	return nil
}

// Channels of some types are used without reflection: they are not to be told
// from others.
func TestChannelsOfEveryType(t *testing.T) {
	t.Parallel()
	t.Run("int", func(t *testing.T) { channelsOf(t, 7) })
	t.Run("string", func(t *testing.T) { channelsOf(t, "seven") })
	t.Run("struct", func(t *testing.T) { channelsOf(t, rig.Args{A: 6, B: 7}) })
	t.Run("pointer", func(t *testing.T) { channelsOf(t, &rig.Args{A: 6, B: 7}) })
	t.Run("any", func(t *testing.T) { channelsOf[any](t, int64(7)) })
}

func channelsOf[T any](t *testing.T, item T) {
	t.Parallel()
	for _, tr := range rig.Transports[:2] {
		for _, buffer := range []int{0, 10} {
			svc := habits[T]{item, make(chan error, 1)}
			s := tr.With(t, svc, rig.Options{Server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}})
			ctx, cancel := context.WithCancel(rig.Context(t))
			defer cancel()
			for range 20 {
				replies, err := rig.Stream(ctx, t, s, "Three", make(chan T), item)
				if err != nil || len(replies) != 3 {
					t.Fatalf("got %v, %v", replies, err)
				}
			}
			args := make(chan T)
			rig.SendAll(ctx, args, slices.Repeat([]T{item}, 100)...)
			if replies, err := rig.Stream(ctx, t, s, "Echo", args, item); err != nil || len(replies) != 100 {
				t.Fatalf("got %v, %v", replies, err)
			}

			args, closed := make(chan T), make(chan T)
			result := rig.InBackground(func() error { return s.Client.Stream(ctx, s.Dest, "Svc", "Echo", args, closed) })
			args <- item
			rig.Take(t, "a reply", closed)
			close(closed)
			args <- item
			rig.CheckErr(t, rig.Take(t, "Stream returns", result), rpc.ClientErr, codes.FailedPrecondition, "channel of replies was closed")

			args, replies := make(chan T, 1), make(chan T)
			args <- item
			result = rig.InBackground(func() error { return s.Client.Stream(ctx, s.Dest, "Svc", "Heedless", args, replies) })
			rig.Take(t, "a reply", replies)
			cancel()
			if err := rig.Take(t, "Stream returns", result); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller got %v", err)
			}
			if err := rig.Take(t, "the method ends", svc.ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the method got %v", err)
			}
		}
	}
}
