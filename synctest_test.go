package rpc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Channels belong to the bubble that they were made in: what is kept of calls
// must not go from one test's to another's.
func TestLocalCallsInSeveralBubbles(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			s := rpc.NewServer(nil, testProtocol, quiet)
			if err := s.Register(Arith{}); err != nil {
				t.Fatal(err)
			}
			c := rpc.NewClientWithServer(nil, testProtocol, s)
			hour, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := c.CallContext(hour, "", "Arith", "Block", struct{}{}, new(struct{})); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after an hour: %v", err)
			}
			var product int
			if err := c.CallContext(ctx, "", "Arith", "Multiply", Args{6, 7}, &product); err != nil || product != 42 {
				t.Errorf("%d, %v", product, err)
			}
		})
	}
}
