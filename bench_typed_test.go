package rpc_test

import (
	"context"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// BenchmarkLocal calls a method that does nothing but multiply: directly, as a
// typed method, and by its names.
func BenchmarkLocal(b *testing.B) {
	s := rpc.NewServer(nil, "", quiet)
	c := rpc.NewClientWithServer(nil, "", s)
	closeAfter(b, c, s)
	if err := divide.Handle(s, handleDivide); err != nil {
		b.Fatal(err)
	}
	if err := s.RegisterName("Receiver", Arith{}); err != nil {
		b.Fatal(err)
	}
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	ofReceiver := rpc.NewMethod[Args, Quotient]("Receiver", "Divide")
	args := Args{7, 2}
	for _, ctx := range []context.Context{context.Background(), cancellable} {
		name := "background"
		if ctx == cancellable {
			name = "cancellable"
		}
		for _, way := range []struct {
			name string
			call func() (Quotient, error)
		}{
			{"function", func() (Quotient, error) { return handleDivide(ctx, args) }},
			{"typed", func() (Quotient, error) { return divide.Call(ctx, c, "", args) }},
			{"typed, of a receiver", func() (Quotient, error) { return ofReceiver.Call(ctx, c, "", args) }},
			{"by name, typed method", func() (q Quotient, err error) { return q, c.CallContext(ctx, "", "Svc", "Divide", args, &q) }},
			{"by name", func() (q Quotient, err error) { return q, c.CallContext(ctx, "", "Receiver", "Divide", args, &q) }},
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

// echoes are an echo of bytes by channels, and by a typed method.
type byChannelsEcho struct{}

func (byChannelsEcho) Echo(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	defer close(out)
	for b := range in {
		out <- b
	}
	return nil
}

var echoBytes = rpc.NewDuplex[[]byte, []byte]("Svc", "Echo")

func handleEcho(ctx context.Context, in *rpc.Receiver[[]byte], out *rpc.Sender[[]byte]) error {
	for b, err := range in.All(ctx) {
		if err == nil {
			err = out.Send(ctx, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkStreams echoes items on one stream: by channels at both ends, with
// and without buffers, and by typed methods.
func BenchmarkStreams(b *testing.B) {
	for _, tr := range transports[:2] {
		for _, size := range []int{64, 64 << 10} {
			name := fmt.Sprintf("%s/%d", tr.name, size)
			channels := func(buffer int) func(*testing.B) {
				return func(b *testing.B) {
					s := tr.setup(b, options{server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}})
					if err := s.server.RegisterName("Svc", byChannelsEcho{}); err != nil {
						b.Fatal(err)
					}
					b.SetBytes(int64(size))
					b.ReportAllocs()
					b.ResetTimer()
					benchChannels(b, s, size, buffer)
				}
			}
			b.Run(name+"/channels", channels(0))
			b.Run(name+"/channels buffered", channels(64))
			b.Run(name+"/typed", func(b *testing.B) {
				s := tr.setup(b, options{})
				if err := echoBytes.Handle(s.server, handleEcho); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				benchTyped(b, s, size)
			})
		}
	}
}

func benchChannels(b *testing.B, s setup, size, buffer int) {
	args, replies := make(chan []byte, buffer), make(chan []byte, buffer)
	result := inBackground(func() error { return s.client.Stream(context.Background(), s.dest, "Svc", "Echo", args, replies) })
	go func() {
		defer close(args)
		item := make([]byte, size)
		for range b.N {
			args <- item
		}
	}()
	n := 0
	for range replies {
		n++
	}
	if err := <-result; err != nil || n != b.N {
		b.Error(n, err)
	}
}

func benchTyped(b *testing.B, s setup, size int) {
	ctx := context.Background()
	call := echoBytes.Open(ctx, s.client, s.dest)
	defer call.Close()
	go func() {
		item := make([]byte, size)
		for range b.N {
			if err := call.Send(ctx, item); err != nil {
				b.Error(err)
			}
		}
		_ = call.CloseSend()
	}()
	n := 0
	for _, err := range call.All(ctx) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != b.N {
		b.Error(n)
	}
}
