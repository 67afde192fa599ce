package rpctest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Not parallel: they look at the goroutines of the process. What is set up
// after CheckLeaks may end after the test's own code has.
func TestCheckLeaksFindsNothingWhereAllIsClosed(t *testing.T) {
	ft := runFake(func(ft testing.TB) {
		rpctest.CheckLeaks(ft)
		client, server := rpctest.Pair(ft)
		server.Mock("Echo", rpctest.Methods{"Echo": echo})
		server.Method("Echo", "Echo").Block(1)
		go func() {
			var got []byte
			_ = client.Call(server.ID(), "Echo", "Echo", []byte{1}, &got)
		}()
		server.Method("Echo", "Echo").Wait(1)
	})
	if ft.failed {
		t.Error(ft.output())
	}
}

func TestCheckLeaksFindsALeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock does not wait
		release := make(chan struct{})
		defer close(release)
		go leaking(release, make(chan struct{}, 1)) // it was there before
		ft := runFake(func(ft testing.TB) {
			rpctest.CheckLeaks(ft)
			began := make(chan struct{})
			go leaking(release, began)
			<-began
		})
		if !ft.failed || ft.stopped || len(ft.errors) != 1 {
			t.Errorf("failed %t, stopped %t: %q", ft.failed, ft.stopped, ft.errors)
		}
		says(t, ft.output(), "outlive the test", "leaking")
	})
}

func leaking(release <-chan struct{}, began chan<- struct{}) {
	began <- struct{}{}
	<-release
}

func TestCheckLeaksLeavesATestThatHasFailed(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	ft := runFake(func(ft testing.TB) {
		rpctest.CheckLeaks(ft)
		began := make(chan struct{})
		go leaking(release, began)
		<-began
		ft.Fatalf("for another reason")
	})
	if len(ft.errors) != 1 {
		t.Errorf("it says %q", ft.errors)
	}
}

func TestCheckLeaksExplainsAnArgumentsChannelThatWasLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := rpc.NewServer(nil, "/test")
		defer server.Close()
		client := rpc.NewClientWithServer(nil, "/test", server) // which the fake test forgets to close
		defer client.Close()
		leave := func(args any) *fakeT {
			return runFake(func(ft testing.TB) {
				rpctest.CheckLeaks(ft)
				if err := client.Stream(context.Background(), "", "No", "Method", args, make(chan int)); err == nil {
					t.Error("there is no such method")
				}
			})
		}
		closed := make(chan string, 1)
		closed <- "that nobody takes"
		close(closed)
		if ft := leave(closed); ft.failed {
			t.Error(ft.output())
		}
		for _, args := range []any{make(chan string), make(chan struct{ A int })} {
			ft := leave(args)
			if !ft.failed || len(ft.errors) != 1 {
				t.Errorf("failed %t: %q", ft.failed, ft.errors)
			}
			says(t, ft.output(), "1 of them", "arguments channel", "Stream", "not closed", "close it", "close the client")
		}
	})
}

func TestCheckLeaksExplainsAWriteThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := rpc.NewServer(nil, "/test")
		defer server.Close()
		client := rpc.NewClientWithServer(nil, "/test", server) // which the fake test forgets to close
		defer client.Close()
		put := rpc.NewMethod[int, int]("Store", "Put", rpc.CallTimeout(time.Hour))
		if err := put.Handle(server, func(ctx context.Context, _ int) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}); err != nil {
			t.Fatal(err)
		}
		ft := runFake(func(ft testing.TB) {
			rpctest.CheckLeaks(ft)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if got, err := put.CollectAll(ctx, client, []peer.ID{""}, 1, fan.WriteQuorum(1), fan.Detached(true)); err == nil || len(got.Going) != 1 {
				t.Errorf("%+v, %v", got, err)
			}
		})
		if !ft.failed || len(ft.errors) != 1 {
			t.Errorf("failed %t: %q", ft.failed, ft.errors)
		}
		says(t, ft.output(), "1 of them", "WriteQuorum", "Results.Rest", "close the client")
	})
}
