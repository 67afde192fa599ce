package calls_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Channels belong to the bubble that they were made in: what is kept of calls
// must not go from one test's to another's.
func TestLocalCallsInSeveralBubbles(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
			if err := s.Register(rig.Arith{}); err != nil {
				t.Fatal(err)
			}
			c := rpc.NewClientWithServer(nil, rig.Protocol, s)
			hour, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := c.CallContext(hour, "", "Arith", "Block", struct{}{}, new(struct{})); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after an hour: %v", err)
			}
			var product int
			if err := c.CallContext(ctx, "", "Arith", "Multiply", rig.Args{A: 6, B: 7}, &product); err != nil || product != 42 {
				t.Errorf("%d, %v", product, err)
			}
		})
	}
}
