package streams_test

import (
	"context"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

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
	for _, tr := range rig.Transports[:2] {
		for _, size := range []int{64, 64 << 10} {
			name := fmt.Sprintf("%s/%d", tr.Name, size)
			channels := func(buffer int) func(*testing.B) {
				return func(b *testing.B) {
					s := tr.Setup(b, rig.Options{Server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}})
					if err := s.Server.RegisterName("Svc", byChannelsEcho{}); err != nil {
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
				s := tr.Setup(b, rig.Options{})
				if err := echoBytes.Handle(s.Server, handleEcho); err != nil {
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

func benchChannels(b *testing.B, s rig.Setup, size, buffer int) {
	args, replies := make(chan []byte, buffer), make(chan []byte, buffer)
	result := rig.InBackground(func() error { return s.Client.Stream(context.Background(), s.Dest, "Svc", "Echo", args, replies) })
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

func benchTyped(b *testing.B, s rig.Setup, size int) {
	ctx := context.Background()
	call := echoBytes.Open(ctx, s.Client, s.Dest)
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
