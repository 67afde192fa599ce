package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Echo struct{}

func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

// Calls whose messages together are more than libp2p grants a stream share
// what it grants: none fails for the others, and nothing is kept.
func TestLargeCallsOfASessionShareItsMemory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ calls, size int }{{128, 256 << 10}, {48, 1 << 20}, {6, 8 << 20}} {
		t.Run(fmt.Sprintf("%d x %d KiB", c.calls, c.size>>10), func(t *testing.T) {
			a, b := newHosts(t)
			s := rpc.NewServer(b, testProtocol, quiet)
			client := rpc.NewClient(a, testProtocol)
			if err := s.Register(Echo{}); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range c.calls {
				wg.Go(func() {
					in := bytes.Repeat([]byte{byte(i)}, c.size)
					var out []byte
					if err := client.CallContext(testContext(t), b.ID(), "Echo", "Bytes", in, &out); err != nil {
						t.Error(err)
					} else if !bytes.Equal(in, out) {
						t.Error("another's reply")
					}
				})
			}
			wg.Wait()
			_ = client.Close()
			_ = s.Close()
			released(t, a, b)
		})
	}
}
