package streams_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
	"github.com/libp2p/go-libp2p-gorpc/watch"
)

var watched = rpc.NewServerStream[int, string]("Feed", "Watch")

// A method hears of the shutdown, sends a last item, and its caller gets its error. The
// shutdown ends with the last method.
func TestMethodsHearOfAShutdown(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			calls := 20
			if tr.Name == "session" {
				calls = 1000
			}
			s := tr.Setup(t, rig.Options{})
			var running sync.WaitGroup
			running.Add(calls)
			handleWatched(t, s, func(ctx context.Context, _ int, out *rpc.Sender[string]) error {
				running.Done()
				<-watch.Stopping(ctx)
				if err := out.Send(ctx, "last"); err != nil {
					t.Error(err)
				}
				return watch.ErrStopping
			})
			ctx := rig.Context(t)
			var over sync.WaitGroup
			for range calls {
				over.Go(func() {
					var items []string
					for item, err := range watched.Call(ctx, s.Client, s.Dest, 1) {
						if err == nil {
							items = append(items, item)
							continue
						}
						if rpc.CodeOf(err) != codes.Unavailable || !strings.Contains(err.Error(), "the server is shutting down") {
							t.Errorf("the caller got %v", err)
						}
					}
					if len(items) != 1 || items[0] != "last" {
						t.Errorf("items %q", items)
					}
				})
			}
			running.Wait()
			if err := s.Server.Shutdown(ctx); err != nil {
				t.Errorf("the shutdown: %v", err)
			}
			over.Wait()
		})
	}
}

// Callers whose calls a shutdown cancels know why.
func TestCallsThatAShutdownCancelsSayWhy(t *testing.T) {
	t.Parallel()
	s := rig.Session.Setup(t, rig.Options{})
	begun := make(chan struct{})
	handleWatched(t, s, func(ctx context.Context, _ int, _ *rpc.Sender[string]) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	over := make(chan error, 1)
	go func() {
		for _, err := range watched.Call(rig.Context(t), s.Client, s.Dest, 1) {
			over <- err
		}
	}()
	<-begun
	grace, cancel := context.WithCancel(context.Background())
	defer cancel()
	down := rig.InBackground(func() error { return s.Server.Shutdown(grace) })
	rig.Eventually(t, "the client knows of the shutdown", func() bool {
		err := s.Client.CallContext(rig.Context(t), s.Dest, "No", "Such", 1, new(int))
		return rpc.CodeOf(err) == codes.Unavailable
	})
	cancel()
	if err := rig.Take(t, "the shutdown gives up", down); err != context.Canceled {
		t.Errorf("the shutdown: %v", err)
	}
	if err := rig.Take(t, "the call is over", over); rpc.CodeOf(err) != codes.Unavailable || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("the caller got %v", err)
	}
}

func TestStoppingOfAContextThatIsNoMethods(t *testing.T) {
	if watch.Stopping(context.Background()) != nil {
		t.Error("a channel")
	}
}

// streams returns what opens one stream after another: each has items, and then its error.
func streams(errs ...error) (open func(context.Context) iter.Seq2[int, error], opened *atomic.Int32) {
	opened = new(atomic.Int32)
	return func(context.Context) iter.Seq2[int, error] {
		n := opened.Add(1)
		return func(yield func(int, error) bool) {
			if !yield(int(n), nil) {
				return
			}
			if err := errs[n-1]; err != nil {
				yield(0, err)
			}
		}
	}, opened
}

func TestKeptWatchIsOpenedAgain(t *testing.T) {
	down := rpc.Errorf(codes.Unavailable, "down")
	wrong := rpc.Errorf(codes.Unimplemented, "no such method")
	synctest.Test(t, func(t *testing.T) {
		open, opened := streams(down, nil, down, wrong)
		var items []int
		interruptions := 0
		var last error
		for item, err := range watch.Keep(context.Background(), open) {
			interrupted := new(watch.Interrupted)
			switch {
			case err == nil:
				items = append(items, item)
			case errors.As(err, &interrupted):
				interruptions++
			default:
				last = err
			}
		}
		if len(items) != 4 || interruptions != 3 || opened.Load() != 4 || !errors.Is(last, wrong) {
			t.Errorf("items %v, %d interruptions, %d streams, and then %v", items, interruptions, opened.Load(), last)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		open, opened := streams(down)
		var last error
		for _, err := range watch.Keep(ctx, open) {
			if err != nil {
				cancel()
			}
			last = err
		}
		if last != context.Canceled || opened.Load() != 1 {
			t.Errorf("%d streams, and then %v", opened.Load(), last)
		}
	})
}

// A watch outlasts the time between a server and the next, but not its client.
func TestKeptWatchOverARestart(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		watched := rpc.NewServerStream[int, int]("Svc", "Watch")
		serve := func() *rpc.Server {
			s := rig.NewServer(t, b)
			if err := watched.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
				if err := out.Send(ctx, n); err != nil {
					return err
				}
				<-watch.Stopping(ctx)
				return watch.ErrStopping
			}); err != nil {
				t.Fatal(err)
			}
			return s
		}
		c := tr.Client(t, a)
		s := serve()
		var last error
		away := false
		for _, err := range watch.Keep(rig.Context(t), func(ctx context.Context) iter.Seq2[int, error] { return watched.Call(ctx, c, b.ID(), 1) }) {
			switch {
			case err == nil && !away: // the first server's
				if err := s.Shutdown(rig.Context(t)); err != nil {
					t.Error(err)
				}
			case err == nil: // the next one's
				_ = c.Close()
			case rpc.CodeOf(err) == codes.Unimplemented && !away:
				away = true
				serve()
			}
			last = err
		}
		if !away || rpc.CodeOf(last) != codes.Unavailable || errors.As(last, new(*watch.Interrupted)) {
			t.Errorf("the watch has ended with %v", last)
		}
	})
}

// What becomes of a receiver that is too slow is the method's choice.
func TestQueuesOfSlowReceivers(t *testing.T) {
	t.Parallel()
	const most = 3
	for name, want := range map[watch.Slow]struct {
		added, items, dropped int
		code                  codes.Code
	}{
		watch.Wait:       {added: most, items: most},
		watch.DropOldest: {added: 10, items: most, dropped: 10 - most},
		watch.End:        {added: most, code: codes.ResourceExhausted},
	} {
		s := rig.Session.Setup(t, rig.Options{})
		q := watch.NewQueue[string](most, name)
		handleWatched(t, s, func(ctx context.Context, _ int, out *rpc.Sender[string]) error {
			return q.Serve(ctx, out)
		})
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		added := 0
		for range 10 {
			if q.Add(ended, "item") {
				added++
			}
		}
		q.Close(nil)
		items, code := 0, codes.OK
		for _, err := range watched.Call(rig.Context(t), s.Client, s.Dest, 1) {
			if code = rpc.CodeOf(err); err == nil {
				items++
			}
		}
		if added != want.added || items != want.items || q.Dropped() != want.dropped || code != want.code {
			t.Errorf("%v: %d added, %d sent, %d dropped, code %v", name, added, items, q.Dropped(), code)
		}
		if q.Add(ended, "late") {
			t.Errorf("%v: an item was added to a watch that is over", name)
		}
	}
}

func handleWatched(t *testing.T, s rig.Setup, f func(context.Context, int, *rpc.Sender[string]) error) {
	t.Helper()
	if err := watched.Handle(s.Server, f); err != nil {
		t.Fatal(err)
	}
}
