package streams_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Frames of docs/session.md.
const (
	serverSettings = "\x0c\x01\x01\x80\x08\x02\x80\x80\xc0\x08\x03\x80\x40"
	goAwayAfter0   = "\x03\x0a\x00\x00"
)

// goAwayFirst makes b a server of which every other session goes away when it has read
// some bytes, at most so many, and has looked at no call. The others are dest's.
func goAwayFirst(t *testing.T, b, dest host.Host, most int) {
	var sessions atomic.Int64
	b.SetStreamHandler(rig.Sessions, func(st network.Stream) {
		defer st.Close()
		n := int(sessions.Add(1))
		if n%2 == 1 {
			_, _ = io.WriteString(st, serverSettings)
			_, _ = io.ReadAtLeast(st, make([]byte, 4<<10), 1+n*37%most)
			_, _ = io.WriteString(st, goAwayAfter0)
			_, _ = io.Copy(io.Discard, st)
			return
		}
		on, err := b.NewStream(rig.Context(t), dest.ID(), rig.Sessions)
		if err != nil {
			t.Error(err)
			return
		}
		defer on.Close()
		go func() {
			_, _ = io.Copy(on, st)
			_ = on.CloseWrite()
		}()
		_, _ = io.Copy(st, on)
	})
	t.Cleanup(func() { b.RemoveStreamHandler(rig.Sessions) })
}

// Calls whose session goes away while their programs send go on with the next one, with
// all items in order.
func TestCallsMoveWhileTheirProgramsSend(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	dest := rig.NewHost(t)
	rig.Connect(t, b, dest)
	server := rig.Serve(t, dest, rig.NewStreaming())
	typed := rpc.NewDuplex[int, int]("Typed", "Echo")
	err := typed.Handle(server, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
		for n, err := range in.All(ctx) {
			if err != nil {
				return err
			}
			if err := out.Send(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	goAwayFirst(t, b, dest, 800)
	items := make([]int, 50)
	for i := range items {
		items[i] = 1000 + i
	}
	calls := []func(context.Context, *rpc.Client, peer.ID) ([]int, error){
		func(ctx context.Context, c *rpc.Client, dest peer.ID) ([]int, error) {
			args, replies := make(chan int), make(chan int)
			rig.SendAll(ctx, args, items...)
			all := rig.Collect(replies)
			err := c.Stream(ctx, dest, "Svc", "Echo", args, replies)
			return all(), err
		},
		func(ctx context.Context, c *rpc.Client, dest peer.ID) (got []int, err error) {
			call := typed.Open(ctx, c, dest)
			defer call.Close()
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() {
				defer call.CloseSend()
				for _, n := range items {
					if call.Send(ctx, n) != nil {
						return
					}
				}
			})
			for n, err := range call.All(ctx) {
				if err != nil {
					return got, err
				}
				got = append(got, n)
			}
			return got, nil
		},
	}
	for range 100 {
		c := rig.Client(t, a)
		results := make(chan error, 6)
		for i := range cap(results) {
			go func() {
				got, err := calls[i%2](rig.Context(t), c, b.ID())
				if err == nil && !slices.Equal(got, items) {
					err = fmt.Errorf("echoed %v", got)
				}
				results <- err
			}()
		}
		for range cap(results) {
			if err := rig.Take(t, "a call ends", results); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close()
	}
}
