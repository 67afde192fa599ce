package rig

import (
	"context"
	"sync/atomic"
	"testing"
)

// Stream makes a streaming call that must end soon, with replies closed, and
// returns the replies beside the error.
func Stream[A, R any](ctx context.Context, t testing.TB, s Setup, method string, args chan A, _ R) ([]R, error) {
	t.Helper()
	replies := make(chan R)
	got := InBackground(Collect(replies))
	err := Take(t, method+": Stream returns", InBackground(func() error {
		return s.Client.Stream(ctx, s.Dest, "Svc", method, args, replies)
	}))
	return Take(t, method+": replies are closed", got), err
}

// Collect reads a channel to its end in the background.
func Collect[T any](ch <-chan T) func() []T {
	out := make(chan []T, 1)
	go func() {
		var all []T
		for v := range ch {
			all = append(all, v)
		}
		out <- all
	}()
	return func() []T { return <-out }
}

// SendAll sends items and closes the channel, unless ctx ends before.
func SendAll[T any](ctx context.Context, ch chan<- T, items ...T) {
	go func() {
		defer close(ch)
		for _, it := range items {
			select {
			case ch <- it:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Feed sends up to n items and counts them, until ctx ends.
func Feed(ctx context.Context, ch chan<- []byte, n, size int) *atomic.Int64 {
	sent := new(atomic.Int64)
	go func() {
		defer close(ch)
		item := make([]byte, size)
		for range n {
			select {
			case ch <- item:
				sent.Add(1)
			case <-ctx.Done():
				return
			}
		}
	}()
	return sent
}

// Opened returns an open channel of arguments, on which a sender waits.
func Opened[A any](ctx context.Context, item A) chan A {
	args := make(chan A)
	go func() {
		for {
			select {
			case args <- item:
			case <-ctx.Done():
				return
			}
		}
	}()
	return args
}
