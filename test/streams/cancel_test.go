package streams_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
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
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				s := rig.NewServer(t, b)
				c := rig.Client(t, a)
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
				ctx, cancel := context.WithCancel(rig.Context(t))
				result := make(chan error, 1)
				go func() { result <- c.Stream(ctx, b.ID(), "Svc", "Stuck", in, out) }()
				rig.Take(t, "the method takes an argument", svc.took)
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
	for name, addr := range rig.Muxers {
		for _, args := range []string{"ended", "open", "waiting"} {
			t.Run(name+"/"+args, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				has, ended := make(chan struct{}), make(chan error, 1)
				_ = rig.Serve(t, b, rig.Arith{}, rpc.WithServerInterceptors(func(rpc.Handler) rpc.Handler {
					return func(ctx context.Context, _ *rpc.CallInfo) error {
						close(has)
						<-ctx.Done()
						ended <- ctx.Err()
						return ctx.Err()
					}
				}))
				c := rig.Client(t, a)
				in, out := make(chan rig.Args, 100), make(chan rig.Quotient)
				if args == "waiting" {
					for range 100 {
						in <- rig.Args{A: 1, B: 1}
					}
				}
				if args == "ended" {
					close(in)
				}
				ctx, cancel := context.WithCancel(rig.Context(t))
				result := rig.InBackground(func() error { return c.Stream(ctx, b.ID(), "Svc", "Divides", in, out) })
				rig.Take(t, "the interceptor has the call", has)
				cancel()
				if err := rig.Take(t, "Stream returns", result); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if err := rig.Take(t, "the interceptor's context ends", ended); !errors.Is(err, context.Canceled) {
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
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		s := with(rig.Arith{}, rig.Options{Server: []rpc.ServerOption{rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
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
		args := make(chan rig.Args)
		rig.SendAll(rig.Context(t), args, rig.Args{A: 7, B: 2}, rig.Args{A: 9, B: 3})
		got, err := rig.Stream(rig.Context(t), t, s, "Divides", args, rig.Quotient{})
		if err != nil || !slices.Equal(got, []rig.Quotient{{Quo: 3, Rem: 1}, {Quo: 3, Rem: 0}}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// whole tells of each call whether its arguments ended while its context had
// not: the method takes them for complete.
type whole struct{ well chan bool }

func (w *whole) Take(ctx context.Context, in <-chan int, _ chan<- int) error {
	for range in {
	}
	w.well <- ctx.Err() == nil
	return nil
}

// lateContext is one whose end others are told of some time after it can be seen.
type lateContext struct {
	context.Context
	done chan struct{}
	mu   sync.Mutex
	tell []func()
}

func (c *lateContext) Done() <-chan struct{} { return c.done }

func (c *lateContext) Err() error {
	if rig.IsClosed(c.done) {
		return context.Canceled
	}
	return nil
}

// AfterFunc is what context.AfterFunc uses.
func (c *lateContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell = append(c.tell, f)
	return func() bool { return true }
}

func (c *lateContext) tellAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.tell {
		f()
	}
}

// onArgument is a client's stats handler.
type onArgument func()

func (onArgument) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (f onArgument) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); ok {
		f()
	}
}

// Whoever fills the arguments' channel may stop because the context has ended,
// and close it. That is no end of the arguments: half a file would be stored for
// a whole one. What the pump finds first is a race; here it is the closed channel.
func TestArgumentsClosedByTheContextsEndAreNotComplete(t *testing.T) {
	t.Parallel()
	take1 := rpc.NewDuplex[int, int]("Svc", "Take")
	for how, call := range map[string]func(ctx context.Context, s rig.Setup, closing func(func())) error{
		"Stream": func(ctx context.Context, s rig.Setup, closing func(func())) error {
			args, replies := make(chan int, 1), make(chan int)
			args <- 1
			closing(func() { close(args) })
			return s.Client.Stream(ctx, s.Dest, "Svc", "Take", args, replies)
		},
		"MultiStream": func(ctx context.Context, s rig.Setup, closing func(func())) error {
			args, replies := make(chan int, 1), make(chan int)
			args <- 1
			closing(func() { close(args) })
			return s.Client.MultiStream(ctx, []peer.ID{s.Dest}, "Svc", "Take", args, replies)[0]
		},
		"Open": func(ctx context.Context, s rig.Setup, closing func(func())) error {
			call := take1.Open(ctx, s.Client, s.Dest)
			closing(func() { _ = call.CloseSend() })
			if err := call.Send(ctx, 1); err != nil {
				return err
			}
			_, err := call.Receive(context.Background())
			return err
		},
		"OpenAll": func(ctx context.Context, s rig.Setup, closing func(func())) (err error) {
			calls := take1.OpenAll(ctx, s.Client, []peer.ID{s.Dest})
			defer calls.Close()
			closing(func() { _ = calls.CloseSend() })
			if err := calls.Send(ctx, 1); err != nil {
				return err
			}
			for _, r := range calls.All(context.Background()) {
				err = r.Err
			}
			return err
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
				svc := &whole{make(chan bool, 1)}
				ctx := &lateContext{Context: rig.Context(t), done: make(chan struct{})}
				closing := make(chan func(), 1)
				s := with(svc, rig.Options{Client: []rpc.ClientOption{rpc.WithClientStatsHandler(onArgument(func() {
					close(ctx.done)
					(<-closing)()
				}))}})
				result := rig.InBackground(func() error { return call(ctx, s, func(f func()) { closing <- f }) })
				rig.Take(t, "the context ends", ctx.done)
				select {
				case well := <-svc.well:
					if well {
						t.Error("the method takes what it got for complete")
					}
				case <-time.After(50 * time.Millisecond): // nothing happens until it is told
				}
				ctx.tellAll()
				if err := rig.Take(t, "the call ends", result); !errors.Is(err, context.Canceled) {
					t.Errorf("the call ends with %v", err)
				}
			})
		})
	}
}
