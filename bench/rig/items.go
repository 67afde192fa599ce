package rig

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Complete complains unless as many items came back as were sent.
func Complete(got, n int) error {
	if got != n {
		return fmt.Errorf("%d items came back, not %d", got, n)
	}
	return nil
}

// Duplex sends and receives at once. When receiving fails, abort ends sending.
func Duplex(send, receive func() error, abort func()) error {
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	err := receive()
	if err != nil {
		abort()
		<-sent // fails because of that
		return err
	}
	return <-sent
}

// StreamItems echoes n items in one call of a method of the service Echo, through
// channels with buffers for so many.
func StreamItems[T any](ctx context.Context, client *rpc.Client, dest peer.ID, method string, item T, buffer, n int, check func(T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args, replies := make(chan T, buffer), make(chan T, buffer)
	result := make(chan error, 1)
	go func() { result <- client.Stream(ctx, dest, "Echo", method, args, replies) }()
	err := Duplex(func() error {
		defer close(args)
		for range n {
			select {
			case args <- item:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}, func() error {
		got := 0
		for reply := range replies {
			if err := check(reply); err != nil {
				return err
			}
			got++
		}
		return Complete(got, n)
	}, cancel)
	return errors.Join(err, <-result)
}
