package rpctest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Hosts in memory need nothing of the outside: time in a bubble is a test's own.
func TestHostsInMemoryLiveInABubble(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			client, server := rpctest.Pair(t)
			server.Mock("Echo", rpctest.Methods{"Echo": echo, "Echoes": func(ctx context.Context, in <-chan []byte, out chan<- []byte) error {
				for b := range in {
					out <- b
				}
				return nil
			}})
			server.Method("Echo", "Echo").Block(1)
			start := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			var got []byte
			if err := client.CallContext(ctx, server.ID(), "Echo", "Echo", []byte{1}, &got); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after an hour: %v", err)
			}
			if took := time.Since(start); took != time.Hour {
				t.Errorf("it took %v", took)
			}
			if err := client.Call(server.ID(), "Echo", "Echo", []byte{1}, &got); err != nil || len(got) != 1 {
				t.Errorf("the next call: %v, %v", got, err)
			}
			args, replies := make(chan []byte, 1), make(chan []byte, 1)
			args <- []byte{2}
			close(args)
			if err := client.Stream(context.Background(), server.ID(), "Echo", "Echoes", args, replies); err != nil {
				t.Errorf("the stream: %v", err)
			}
		})
	}
}
