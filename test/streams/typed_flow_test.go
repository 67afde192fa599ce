package streams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// The context of a Receive or Send ends that, and not the call.
func TestTypedStreamGoesOnAfterTheContextOfOneReceive(t *testing.T) {
	t.Parallel()
	overAllTyped(t, rig.Options{}, func(t *testing.T, s rig.Setup, _ *typedStreaming) {
		ctx := rig.Context(t)
		call := typedDuplex("Echo").Open(ctx, s.Client, s.Dest)
		defer call.Close()
		for i := range 3 {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			if _, err := call.Receive(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("nothing was sent: %v", err)
			}
			cancel()
			if err := call.Send(ctx, i); err != nil {
				t.Fatal(err)
			}
			if n, err := call.Receive(ctx); err != nil || n != i {
				t.Fatal(n, err)
			}
		}
	})
}

func TestTypedStreamEndsOutliveTheirMethod(t *testing.T) {
	t.Parallel()
	overAllTyped(t, rig.Options{}, func(t *testing.T, s rig.Setup, svc *typedStreaming) {
		ctx := rig.Context(t)
		if replies, err := rig.Received(ctx, t, typedDuplex("Late").Open(ctx, s.Client, s.Dest)); err != nil || len(replies) > 0 {
			t.Errorf("got %v, %v", replies, err)
		}
		for _, what := range []string{"Send", "Receive"} {
			if err := rig.Take(t, what+" returns", svc.ended); !errors.Is(err, context.Canceled) {
				t.Errorf("%s after the end: %v", what, err)
			}
		}
	})
}

// However much room there is: what is sent then goes nowhere.
func TestSendAfterTheEndOfTheContextFails(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		started, sent := make(chan struct{}, 1), make(chan error, 1)
		talk := rpc.NewDuplex[int, int]("Svc", "Talk")
		err := talk.Handle(s.Server, func(ctx context.Context, _ *rpc.Receiver[int], out *rpc.Sender[int]) error {
			started <- struct{}{}
			<-ctx.Done()
			sent <- out.Send(context.Background(), 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // it is a race
			ctx, cancel := context.WithCancel(rig.Context(t))
			call := talk.Open(ctx, s.Client, s.Dest)
			rig.Take(t, "the method runs", started)
			cancel()
			if err := call.Send(context.Background(), 1); err != io.EOF {
				t.Fatalf("the caller's: %v", err)
			}
			if err := rig.Take(t, "the method sends", sent); !errors.Is(err, context.Canceled) {
				t.Fatalf("the method's: %v", err)
			}
			_ = call.Close()
		}
	})
}

// Not parallel: it counts goroutines.
func TestTypedStreamsLeaveNoGoroutine(t *testing.T) {
	for _, tr := range rig.Transports[:2] {
		s, svc := tr.Setup(t, rig.Options{}), newTypedStreaming()
		if err := errors.Join(svc.handle(s.Server), serveTypedStreams(s.Server)); err != nil {
			t.Fatal(err)
		}
		open := func(ctx context.Context, method string) *rpc.DuplexCall[int, int] {
			return typedDuplex(method).Open(ctx, s.Client, s.Dest)
		}
		for what, f := range map[string]func(ctx context.Context, cancel func()){
			"leaving a loop": func(ctx context.Context, _ func()) {
				for n, err := range rig.CountTo.Call(ctx, s.Client, s.Dest, 1<<30) {
					if err != nil || n == 1000 {
						break
					}
				}
			},
			"abandoned, its context ends": func(ctx context.Context, cancel func()) {
				_, _ = open(ctx, "Flood").Receive(ctx)
				cancel()
			},
			"closed at once": func(ctx context.Context, _ func()) { _ = open(ctx, "Flood").Close() },
			"closed under way": func(ctx context.Context, _ func()) {
				call := open(ctx, "Flood")
				_, _ = call.Receive(ctx)
				_ = call.Close()
				_ = call.Close()
			},
			"failed, and not closed": func(ctx context.Context, _ func()) { _, _ = open(ctx, "Fail").Receive(ctx) },
			"refused":                func(ctx context.Context, _ func()) { _, _ = open(ctx, "Missing").Receive(ctx) },
			"panicked":               func(ctx context.Context, _ func()) { _, _ = rig.Received(ctx, t, open(ctx, "Panic")) },
			"the method is early": func(ctx context.Context, _ func()) {
				call := open(ctx, "Nothing")
				for call.Send(ctx, 1) == nil {
				}
			},
			"closed while one sends": func(ctx context.Context, _ func()) {
				call := open(ctx, "Idle")
				sent := rig.InBackground(func() error {
					for {
						if err := call.Send(ctx, 1); err != nil {
							return err
						}
					}
				})
				rig.Take(t, "the method runs", svc.began)
				_ = call.Close()
				rig.Take(t, "Send returns", sent)
			},
			"finished early": func(ctx context.Context, _ func()) {
				add := rig.Sum.Open(ctx, s.Client, s.Dest)
				ended, cancel := context.WithCancel(ctx)
				cancel()
				_, _ = add.Finish(ended)
			},
		} {
			t.Run(tr.Name+"/"+what, func(t *testing.T) {
				ctx, cancel := context.WithCancel(rig.Context(t))
				defer cancel()
				f(ctx, cancel)
				rig.NoGoroutineStays(t)
			})
		}
	}
}

// A peer that goes away, or a server that is closed, ends the call on both
// sides.
func TestTypedStreamWhosePeerGoes(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			server, svc := rig.NewServer(t, b), newTypedStreaming()
			client := rig.Client(t, a)
			if err := svc.handle(server); err != nil {
				t.Fatal(err)
			}
			ctx := rig.Context(t)
			call := typedDuplex("Wait").Open(ctx, client, b.ID())
			defer call.Close()
			rig.Take(t, "the method runs", svc.began)
			if who == "client" {
				_ = a.Close()
			} else {
				_ = b.Close()
			}
			_, err := rig.Received(ctx, t, call)
			rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Wait", b.ID().String())
			if err := rig.Take(t, "the method is told", svc.ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the method got %v", err)
			}
		})
	}
}

// How far a method may be ahead of a caller that does not receive is bounded,
// and by bytes for large items.
func TestTypedStreamHoldsItsSenderUp(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports[:2] {
		for _, size := range []int{1 << 20, 64 << 10} {
			t.Run(fmt.Sprint(tr.Name, "/", size), func(t *testing.T) {
				t.Parallel()
				s := tr.Setup(t, rig.Options{})
				var sent, got atomic.Int64
				release := make(chan struct{})
				err := rpc.NewClientStream[[]byte, int]("Svc", "Slow").Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[[]byte]) (n int, err error) {
					<-release
					for _, err := range in.All(ctx) {
						if err != nil {
							return n, err
						}
						n++
						got.Add(1)
					}
					return n, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx := rig.Context(t)
				call := rpc.NewClientStream[[]byte, int]("Svc", "Slow").Open(ctx, s.Client, s.Dest)
				defer call.Close()
				const most = 32 << 20
				items := int64(2 * most / size)
				done := rig.InBackground(func() error {
					item := make([]byte, size)
					for range items {
						if err := call.Send(ctx, item); err != nil {
							return err
						}
						sent.Add(1)
					}
					return nil
				})
				// Windows of the muxer's are at most 16 MiB.
				rig.RestsBelow(t, "the sender waits", &sent, items/2+8)
				close(release)
				if err := rig.Take(t, "all is sent", done); err != nil {
					t.Fatal(err)
				}
				if n, err := call.Finish(ctx); err != nil || n != int(items) {
					t.Errorf("%d of %d, %v", n, items, err)
				}
			})
		}
	}
}

// wide is large, and a byte on the wire where it is nil.
type wide struct{ Numbers [128]int64 }

// Items that are small on the wire are held for what they are in memory. Not
// parallel: it measures the memory of the whole process.
func TestTypedStreamHoldsItemsByTheirMemory(t *testing.T) {
	const nils = 16 << 10
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	began, release := make(chan struct{}), make(chan struct{})
	ignore := rpc.NewDuplex[[]wide, int]("Svc", "Ignore")
	err := ignore.Handle(s, func(context.Context, *rpc.Receiver[[]wide], *rpc.Sender[int]) error {
		close(began)
		<-release
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	st := rig.Open(t, a, b, rig.Extended)
	item := rig.Cat("\xdc\x40\x00", strings.Repeat("\xc0", nils))
	written := new(atomic.Int64)
	rig.Allocates(t, 500<<20, func() {
		rig.Write(t, st, rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Ignore"), rig.Str("Kind"), "\x02"))
		rig.Take(t, "the method runs", began)
		go func() {
			for range 1000 {
				if _, err := st.Write(item); err != nil {
					return
				}
				written.Add(1)
			}
		}()
		rig.RestsBelow(t, "the server takes no more", written, 1000)
	})
	close(release)
}
