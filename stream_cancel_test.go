package rpc_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

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

// So must an interceptor that waits before it lets the call go on, when nobody
// reads the stream yet.
func TestCancelledStreamCancelsAnInterceptorThatWaits(t *testing.T) {
	t.Parallel()
	for name, addr := range muxers {
		for _, args := range []string{"ended", "open", "waiting"} {
			t.Run(name+"/"+args, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				has, ended := make(chan struct{}), make(chan error, 1)
				_ = serve(t, b, Arith{}, rpc.WithServerInterceptors(func(rpc.Handler) rpc.Handler {
					return func(ctx context.Context, _ *rpc.CallInfo) error {
						close(has)
						<-ctx.Done()
						ended <- ctx.Err()
						return ctx.Err()
					}
				}))
				c := newClientOf(t, a)
				in, out := make(chan Args, 100), make(chan Quotient)
				if args == "waiting" {
					for range 100 {
						in <- Args{1, 1}
					}
				}
				if args == "ended" {
					close(in)
				}
				ctx, cancel := context.WithCancel(testContext(t))
				result := inBackground(func() error { return c.Stream(ctx, b.ID(), "Svc", "Divides", in, out) })
				take(t, "the interceptor has the call", has)
				cancel()
				if err := take(t, "Stream returns", result); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if err := take(t, "the interceptor's context ends", ended); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
	}
}

// An interceptor that waits for a while, and asks for its context's end, takes
// nothing from the call.
func TestInterceptorThatWaitsLeavesTheStreamWhole(t *testing.T) {
	t.Parallel()
	forEachTransport(t, func(t *testing.T, with func(any, options) setup) {
		s := with(Arith{}, options{server: []rpc.ServerOption{rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				wait := time.NewTimer(600 * time.Millisecond) // the server has looked for the caller twice
				defer wait.Stop()
				select {
				case <-wait.C:
				case <-ctx.Done():
					t.Error("the caller is there")
				}
				return next(ctx, call)
			}
		})}})
		args := make(chan Args)
		sendAll(testContext(t), args, Args{7, 2}, Args{9, 3})
		got, err := stream(testContext(t), t, s, "Divides", args, Quotient{})
		if err != nil || !slices.Equal(got, []Quotient{{3, 1}, {3, 0}}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
