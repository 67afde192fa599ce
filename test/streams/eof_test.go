package streams_test

import (
	"context"
	"errors"
	"io"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// TestOnlyACleanEndIsEOF breaks the connection under calls. What breaks says io.EOF
// over TCP and WebSocket, as a clean end does.
func TestOnlyACleanEndIsEOF(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for name, addr := range map[string]string{
			"tcp": rig.Muxers["tcp"], "quic": rig.Muxers["quic"], "websocket": "/ip4/127.0.0.1/tcp/0/ws",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				breakConnection(t, tr, addr)
			})
		}
	})
}

func breakConnection(t *testing.T, tr rig.Transport, addr string) {
	a, b := rig.NewHostsOn(t, addr)
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 2)}
	s := rig.Serve(t, b, svc)
	c := tr.Client(t, a)
	ctx := rig.Context(t)
	upload := rpc.NewDuplex[int, int]("Typed", "Upload")
	received := make(chan error, 1)
	if err := upload.Handle(s, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
		_, err := in.Receive(ctx)
		if err == nil {
			err = out.Send(ctx, 1)
		}
		if err == nil {
			_, err = in.Receive(ctx) // more was to come
		}
		received <- err
		return err
	}); err != nil {
		t.Fatal(err)
	}
	call := upload.Open(ctx, c, b.ID())
	defer call.Close()
	if err := call.Send(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := call.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 2)
	go func() { ends <- c.CallContext(ctx, b.ID(), "Svc", "Block", struct{}{}, new(int)) }()
	go func() { ends <- c.Stream(ctx, b.ID(), "Svc", "Wait", make(chan int), make(chan int)) }()
	for range 2 {
		rig.Take(t, "a method runs", svc.Started)
	}
	_ = b.Network().ClosePeer(a.ID())
	_, err := call.Receive(ctx)
	for _, err := range []error{err, rig.Take(t, "a call ends", ends), rig.Take(t, "another ends", ends)} {
		if errors.Is(err, io.EOF) || rpc.CodeOf(err) != codes.Unavailable || !errors.As(err, new(*rpc.TransportError)) {
			t.Errorf("the caller gets %v; is it io.EOF? %v", err, errors.Is(err, io.EOF))
		}
	}
	if err := rig.Take(t, "the method is told", received); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the method gets %v", err)
	}
}
