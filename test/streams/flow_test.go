package streams_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Not parallel: it counts goroutines.
func TestStreamsLeaveNoGoroutine(t *testing.T) {
	for _, tr := range rig.Transports {
		svc := rig.NewStreaming()
		s := tr.With(t, svc, rig.Options{})
		for what, f := range map[string]func(ctx context.Context, cancel func(), args chan int){
			"nobody reads, nobody closes until the end": func(ctx context.Context, cancel func(), args chan int) {
				replies := make(chan int)
				result := rig.InBackground(func() error {
					return s.Client.Stream(ctx, s.Dest, "Svc", "Flood", args, replies)
				})
				rig.Take(t, "a reply", replies)
				cancel()
				rig.Take(t, "Stream returns", result)
			},
			"nor of many": func(ctx context.Context, cancel func(), args chan int) {
				replies := make(chan int)
				result := rig.InBackground(func() []error {
					return s.Client.MultiStream(ctx, []peer.ID{s.Dest, s.Dest, s.Dest}, "Svc", "Flood", args, replies)
				})
				rig.Take(t, "a reply", replies)
				cancel()
				rig.Take(t, "MultiStream returns", result)
			},
			"the method heeds no context": func(ctx context.Context, cancel func(), _ chan int) {
				args, replies := make(chan [2]int, 1), make(chan []byte)
				defer close(args)
				args <- [2]int{5000, 1 << 10}
				result := rig.InBackground(func() error {
					return s.Client.Stream(ctx, s.Dest, "Svc", "FloodBytes", args, replies)
				})
				rig.Take(t, "a reply", replies)
				cancel()
				rig.Take(t, "Stream returns", result)
				rig.Take(t, "the method ends", svc.Ended)
			},
			"the method fails": func(ctx context.Context, _ func(), args chan int) {
				_, _ = rig.Stream(ctx, t, s, "Fail", args, 0)
			},
			"the methods fail": func(ctx context.Context, _ func(), args chan int) {
				s.Client.MultiStream(ctx, []peer.ID{s.Dest, s.Dest}, "Svc", "Fail", args, make(chan int))
			},
			"refused": func(ctx context.Context, _ func(), args chan int) {
				_, _ = rig.Stream(ctx, t, s, "Missing", args, 0)
			},
			"a bad argument": func(ctx context.Context, _ func(), _ chan int) {
				args := make(chan any, 3)
				defer close(args)
				args <- 1
				args <- "two"
				_, _ = rig.Stream(ctx, t, s, "Echo", args, 0)
			},
			"the method panics": func(ctx context.Context, _ func(), args chan int) {
				_, _ = rig.Stream(ctx, t, s, "CloseTwice", args, 0)
			},
			"replies left in the method's channel": func(ctx context.Context, _ func(), args chan int) {
				_, _ = rig.Stream(ctx, t, s, "Three", args, 0)
			},
		} {
			t.Run(tr.Name+"/"+what, func(t *testing.T) {
				ctx, cancel := context.WithCancel(rig.Context(t))
				defer cancel()
				args := make(chan int)
				f(ctx, cancel, args)
				close(args)
				rig.NoGoroutineStays(t)
			})
		}
	}
}

// The caller may have closed its arguments, and the method may be waiting for
// it to take a reply: neither keeps the method from being told.
func TestCancelledStreamCancelsAMethodThatIsSendingReplies(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprint(tr.Name, "/arguments open ", open), func(t *testing.T) {
				t.Parallel()
				svc := rig.NewStreaming()
				s := tr.With(t, svc, rig.Options{})
				const n = 3000
				args, replies := make(chan [2]int, 1), make(chan []byte)
				args <- [2]int{n, 32 << 10}
				if !open {
					close(args)
				}
				ctx, cancel := context.WithCancel(rig.Context(t))
				result := rig.InBackground(func() error { return s.Client.Stream(ctx, s.Dest, "Svc", "FloodBytes", args, replies) })
				rig.Take(t, "a reply", replies)
				rig.RestsBelow(t, "the method waits for its caller", &svc.Sent, n)
				cancel()
				if err := rig.Take(t, "Stream returns", result); !errors.Is(err, context.Canceled) {
					t.Errorf("the caller got %v", err)
				}
				// It heeds no context: what it sends must go somewhere.
				if err := rig.Take(t, "the method ends", svc.Ended); !errors.Is(err, context.Canceled) {
					t.Errorf("the method got %v", err)
				}
				if got := svc.Sent.Load(); got != n {
					t.Errorf("the method sent %d of %d", got, n)
				}
			})
		}
	}
}

func TestMethodThatTakesNoArgumentsHoldsItsCallerUp(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for _, buffer := range []int{0, 20} {
			t.Run(fmt.Sprint(tr.Name, "/", buffer), func(t *testing.T) {
				t.Parallel()
				const items, size = 300, 32 << 10
				svc := rig.NewUneven()
				s := tr.With(t, svc, rig.Options{Server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}})
				ctx := rig.Context(t)
				args, replies := make(chan []byte), make(chan int, 1)
				result := rig.InBackground(func() error { return s.Client.Stream(ctx, s.Dest, "Svc", "Count", args, replies) })
				n := rig.RestsBelow(t, "the sender waits", rig.Feed(ctx, args, items, size), items)
				if n < int64(buffer) || tr.Name == "local" && n > int64(buffer)+2 {
					t.Errorf("%d items were taken, and the buffer has %d", n, buffer)
				}
				close(svc.Release)
				if err := rig.Take(t, "Stream returns", result); err != nil {
					t.Error(err)
				}
				if n := <-replies; n != items {
					t.Errorf("the method got %d items of %d", n, items)
				}
			})
		}
	}
}

func TestUnreadRepliesAreBoundedAndTheCallIsCut(t *testing.T) {
	t.Parallel()
	const calls, n, size = 8, 64, 1 << 20
	a, b := rig.NewHosts(t)
	svc := rig.NewStreaming()
	rig.Serve(t, b, svc, rpc.WithServerLimits(rpc.Limits{ProgressTimeout: time.Second}))
	for i := range calls {
		st := rig.Open(t, a, b, []protocol.ID{rig.Protocol, rig.Extended}[i%2])
		rig.Write(t, st, rig.Cat(rig.Header("Svc", "FloodBytes"), "\x92\x40\xce\x00\x10\x00\x00")) // n, size
	}
	held := make(chan struct{})
	most := make(chan int64)
	go func() { // what libp2p was told of the server's buffers
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var max int64
		for {
			_ = b.Network().ResourceManager().ViewService(rpc.ServiceName, func(s network.ServiceScope) error {
				if m := s.Stat().Memory; m > max {
					max = m
				}
				return nil
			})
			select {
			case <-tick.C:
			case <-held:
				most <- max
				return
			}
		}
	}()
	for range calls {
		if err := rig.Take(t, "the method is told", svc.Ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the method got %v", err)
		}
	}
	close(held)
	if n := svc.Wanted.Load(); n > calls*20 { // the muxers have windows of at most 16 MiB
		t.Errorf("%d replies of %d MiB were taken for %d callers who read none", n, size>>20, calls)
	}
	if m := <-most; m > calls*3*size {
		t.Errorf("%d MiB were held for %d calls whose replies are %d MiB each", m>>20, calls, size>>20)
	}
}

func TestStrayByteAfterAnArgumentDoesNotHideThatTheCallerGoes(t *testing.T) {
	t.Parallel()
	for _, p := range []protocol.ID{rig.Protocol, rig.Extended} {
		for what, goAway := range map[string]func(network.Stream) error{
			"closes":       network.Stream.Close,
			"closes write": network.Stream.CloseWrite,
			"resets":       network.Stream.Reset,
		} {
			for name, addr := range rig.Muxers {
				t.Run(fmt.Sprint(p[1:], "/", name, "/", what), func(t *testing.T) {
					t.Parallel()
					a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
					rig.Connect(t, a, b)
					svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
					rig.Serve(t, b, svc)
					c := rig.Client(t, a)
					times := make([]time.Duration, 21)
					for i := range times {
						st := rig.Open(t, a, b, p)
						rig.Write(t, st, rig.Cat(rig.Header("Svc", "Block"), "\x80", "\x01"))
						rig.Take(t, "the method runs", svc.Started)
						rig.Write(t, st, []byte{1}) // and one when it runs
						for range 3 {               // behind it on the connection
							if err := c.Call(b.ID(), "Svc", "Missing", 1, new(int)); rpc.CodeOf(err) != codes.Unimplemented {
								t.Fatal(err)
							}
						}
						if len(svc.Ended) != 0 {
							t.Fatal("the method is cancelled by a byte")
						}
						start := time.Now()
						if err := goAway(st); err != nil {
							t.Fatal(err)
						}
						if err := rig.Take(t, "the method is told", svc.Ended); !errors.Is(err, context.Canceled) {
							t.Errorf("it got %v", err)
						}
						times[i] = time.Since(start)
					}
					// Ten milliseconds, but that other tests run beside. Who
					// looked for it now and then would need longer.
					rig.UsuallyWithin(t, "the method is told", 100*time.Millisecond, times)
				})
			}
		}
	}
}
