package streams_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var (
	transfers = rpc.NewDuplex[[]byte, []byte]("Bulk", "Echo")
	chats     = rpc.NewDuplex[[]byte, []byte]("Chat", "Echo")
)

func serveTransfers(t *testing.T, s *rpc.Server) {
	t.Helper()
	f := func(ctx context.Context, in *rpc.Receiver[[]byte], out *rpc.Sender[[]byte]) error {
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
	if err := errors.Join(transfers.Handle(s, f), chats.Handle(s, f)); err != nil {
		t.Fatal(err)
	}
}

// transfer has n items echoed on one call, and returns where the call was carried.
func transfer(ctx context.Context, s rig.Setup, m *rpc.Duplex[[]byte, []byte], n int) (own int, err error) {
	call := m.Open(ctx, s.Client, s.Dest)
	defer call.Close()
	item := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 32<<10) }
	if err := call.Send(ctx, item(0)); err != nil {
		return 0, err
	}
	if b, err := call.Receive(ctx); err != nil || !bytes.Equal(b, item(0)) {
		return 0, fmt.Errorf("the first item is another: %w", err)
	}
	own = ownStreams(s.Host)
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		for i := 1; i < n; i++ {
			if call.Send(ctx, item(i)) != nil {
				return
			}
		}
		_ = call.CloseSend()
	})
	got := 1
	for b, err := range call.All(ctx) {
		switch {
		case err != nil:
			return own, err
		case !bytes.Equal(b, item(got)):
			return own, fmt.Errorf("item %d is another", got)
		}
		got++
	}
	if got != n {
		err = fmt.Errorf("%d of %d items", got, n)
	}
	return own, err
}

// ownStreams is how many calls of h have a stream.
func ownStreams(h host.Host) (n int) {
	for _, conn := range h.Network().Conns() {
		for _, st := range conn.GetStreams() {
			if st.Protocol() == rig.Extended {
				n++
			}
		}
	}
	return n
}

// Calls of a method that moves much have streams of their own, others do not, and one
// that moves little brings its method back.
func TestLongTransfersHaveStreamsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := rig.Session.Setup(t, rig.Options{})
	serveTransfers(t, s.Server)
	ctx := rig.Context(t)
	for i, of := range []struct {
		m     *rpc.Duplex[[]byte, []byte]
		items int
		own   int
	}{
		{transfers, 64, 0}, // nothing is known
		{transfers, 64, 1},
		{chats, 1, 0},
		{transfers, 1, 1},
		{transfers, 1, 0},
		{transfers, 64, 0},
		{transfers, 64, 1},
	} {
		own, err := transfer(ctx, s, of.m, of.items)
		if err != nil || own != of.own {
			t.Errorf("call %d, of %d items to %v: %d streams of their own, %v; want %d", i, of.items, of.m, own, err, of.own)
		}
		rig.Eventually(t, "the stream is gone", func() bool { return ownStreams(s.Host) == 0 })
	}
}

// There is a bound to such streams: more calls are made on the session.
func TestLongTransfersHaveFewStreams(t *testing.T) {
	t.Parallel()
	s := rig.Session.Setup(t, rig.Options{})
	serveTransfers(t, s.Server)
	ctx := rig.Context(t)
	if _, err := transfer(ctx, s, transfers, 64); err != nil {
		t.Fatal(err)
	}
	var calls []*rpc.DuplexCall[[]byte, []byte]
	for i := range 40 {
		call := transfers.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		calls = append(calls, call)
		if err := call.Send(ctx, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i, call := range calls {
		if b, err := call.Receive(ctx); err != nil || !bytes.Equal(b, []byte{byte(i)}) {
			t.Fatalf("call %d: got %v, %v", i, b, err)
		}
	}
	if n := ownStreams(s.Host); n != 16 {
		t.Errorf("%d calls have streams of their own", n)
	}
}
