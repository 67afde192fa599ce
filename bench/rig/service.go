package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const protocol = "/bench/rig"

// Echo is the service that is called.
type Echo struct{}

// Args is a small argument.
type Args struct{ A, B int }

// Record is an item that goes through the codec.
type Record struct {
	ID   uint64
	Name string
	Data []byte
}

// Bytes replies with what it was sent.
func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

// Multiply takes a pointer, as most methods do.
func (Echo) Multiply(_ context.Context, args *Args, product *int) error {
	*product = args.A * args.B
	return nil
}

// Stream replies with each item.
func (Echo) Stream(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	return EchoChannels(in, out)
}

// Records replies with each item. Their channels are used by reflection, as
// those of all types are that are a program's own.
func (Echo) Records(_ context.Context, in <-chan Record, out chan<- Record) error {
	return EchoChannels(in, out)
}

// EchoChannels replies with each item.
func EchoChannels[T any](in <-chan T, out chan<- T) error {
	for item := range in {
		out <- item
	}
	return nil
}

// serve serves Echo, by name and typed. The host may be nil.
func serve(h host.Host, opts ...rpc.ServerOption) (*rpc.Server, error) {
	s := rpc.NewServer(h, protocol, opts...)
	if err := errors.Join(s.Register(Echo{}), handleTyped(s)); err != nil {
		closing(nil, s)
		return nil, err
	}
	return s, nil
}

// payload makes random bytes, the same ones in each process.
func payload(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// same compares all of what came back: for a first look.
func same(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes came back that are not the %d which were sent", len(got), len(want))
	}
	return nil
}

// alike compares the length and both ends, which takes no time: for the look at
// every reply.
func alike(got, want []byte) error {
	n := min(len(want), 16)
	if len(got) != len(want) || !bytes.Equal(got[:n], want[:n]) || !bytes.Equal(got[len(got)-n:], want[len(want)-n:]) {
		return fmt.Errorf("a wrong reply of %d bytes", len(got))
	}
	return nil
}

func sizeName(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
