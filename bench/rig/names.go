package rig

import (
	"context"
	"errors"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Names of the library that are not v0.6's are used in this file alone. When one
// of them changes, commits from before the change no longer compile with it.
// Then copy this file to names_before.go, constrain the copy to the build tag
// "before" and this file to "!before", and change this one. Commits from before
// are compared with -basetags before.

// onlyWire makes a client that opens a stream for each call.
func onlyWire() rpc.ClientOption { return rpc.WithClientSessions(false) }

// The methods of Echo, typed.
var (
	typedMultiply = rpc.NewMethod[*Args, int]("Typed", "Multiply")
	typedBytes    = rpc.NewMethod[[]byte, []byte]("Typed", "Bytes")
	typedStream   = rpc.NewDuplex[[]byte, []byte]("Typed", "Stream")
	typedRecords  = rpc.NewDuplex[Record, Record]("Typed", "Records")
	typedList     = rpc.NewServerStream[int, []byte]("Typed", "List")
)

func handleTyped(s *rpc.Server) error {
	return errors.Join(
		typedMultiply.Handle(s, func(_ context.Context, args *Args) (int, error) { return args.A * args.B, nil }),
		typedBytes.Handle(s, func(_ context.Context, in []byte) ([]byte, error) { return in, nil }),
		typedStream.Handle(s, EchoItems[[]byte]),
		typedRecords.Handle(s, EchoItems[Record]),
		typedList.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[[]byte]) error {
			item := payload(64)
			for range n {
				if err := out.Send(ctx, item); err != nil {
					return err
				}
			}
			return nil
		}),
	)
}

// listTyped makes one call that n items come of, and gives check each.
func listTyped(ctx context.Context, client *rpc.Client, dest peer.ID, n int, check func([]byte) error) error {
	got := 0
	for item, err := range typedList.Call(ctx, client, dest, n) {
		if err == nil {
			got++
			err = check(item)
		}
		if err != nil {
			return err
		}
	}
	return Complete(got, n)
}

func multiplyTyped(ctx context.Context, client *rpc.Client, dest peer.ID, args *Args) (int, error) {
	return typedMultiply.Call(ctx, client, dest, args)
}

func bytesTyped(ctx context.Context, client *rpc.Client, dest peer.ID, in []byte) ([]byte, error) {
	return typedBytes.Call(ctx, client, dest, in)
}

// bytesTypedAll calls all peers, and gives check each reply.
func bytesTypedAll(ctx context.Context, client *rpc.Client, dests []peer.ID, in []byte, check func([]byte) error) error {
	results, err := typedBytes.CollectAll(ctx, client, dests, in)
	if err != nil {
		return err
	}
	for _, dest := range dests {
		if err := check(results.Values[dest]); err != nil {
			return err
		}
	}
	return nil
}

// EchoItems replies with each item.
func EchoItems[T any](ctx context.Context, in *rpc.Receiver[T], out *rpc.Sender[T]) error {
	for item, err := range in.All(ctx) {
		if err == nil {
			err = out.Send(ctx, item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TypedItems echoes n items in one call of a typed method.
func TypedItems[T any](ctx context.Context, client *rpc.Client, dest peer.ID, method *rpc.Duplex[T, T], item T, n int, check func(T) error) error {
	call := method.Open(ctx, client, dest)
	err := Duplex(func() error {
		for range n {
			if err := call.Send(ctx, item); err != nil {
				return err
			}
		}
		return call.CloseSend()
	}, func() error {
		got := 0
		for reply, err := range call.All(ctx) {
			if err == nil {
				err = check(reply)
			}
			if err != nil {
				return err
			}
			got++
		}
		return Complete(got, n)
	}, func() { _ = call.Close() })
	return errors.Join(err, call.Close())
}

// closing closes clients, and servers after them.
func closing(clients []*rpc.Client, servers ...*rpc.Server) {
	for _, c := range slices.Backward(clients) {
		_ = c.Close()
	}
	for _, s := range servers {
		_ = s.Close()
	}
}
