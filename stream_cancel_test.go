package rpc_test

import (
	"context"
	"errors"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// stuck takes one argument and then looks at nothing but its context.
type stuck struct {
	took  chan struct{}
	ended chan error
}

func (s *stuck) Stuck(ctx context.Context, in <-chan int, _ chan<- int) error {
	<-in
	s.took <- struct{}{}
	<-ctx.Done()
	s.ended <- ctx.Err()
	return ctx.Err()
}

// The method must learn that its caller has gone in every state of its
// arguments: all there, still to come, and waiting untaken.
func TestCancelledStreamCancelsAMethodThatDoesNotLookAtItsArguments(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"} {
		for _, args := range []string{"ended", "open", "waiting"} {
			t.Run(name+"/"+args, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				s := rpc.NewServer(b, testProtocol, quiet)
				c := rpc.NewClient(a, testProtocol)
				closeAfter(t, c, s)
				svc := &stuck{make(chan struct{}), make(chan error, 1)}
				if err := s.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				in, out := make(chan int, 100), make(chan int)
				n := 1
				if args == "waiting" {
					n = 100
				}
				for i := range n {
					in <- i
				}
				if args == "ended" {
					close(in)
				}
				ctx, cancel := context.WithCancel(testContext(t))
				result := make(chan error, 1)
				go func() { result <- c.Stream(ctx, b.ID(), "Svc", "Stuck", in, out) }()
				<-svc.took
				cancel()
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if err := <-svc.ended; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			})
		}
	}
}
