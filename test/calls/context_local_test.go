package calls_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// keeper has methods that send their contexts before they return.
type keeper struct{ kept chan context.Context }

func (k keeper) One(ctx context.Context, n int, r *int) error {
	k.kept <- ctx
	*r = n
	return nil
}

func (k keeper) Many(ctx context.Context, _ <-chan int, _ chan<- int) error {
	k.kept <- ctx
	return nil
}

type ctxKey struct{}

// fromMethods are what a method may make of its context, while its call is under
// way: each returns a channel that is closed when that has ended.
var fromMethods = map[string]func(ctx context.Context) <-chan struct{}{
	"itself": func(ctx context.Context) <-chan struct{} { return ctx.Done() },
	"WithCancel": func(ctx context.Context) <-chan struct{} {
		ctx, cancel := context.WithCancel(ctx)
		context.AfterFunc(ctx, cancel)
		return ctx.Done()
	},
	"WithValue": func(ctx context.Context) <-chan struct{} { return context.WithValue(ctx, ctxKey{}, 1).Done() },
	"WithTimeout": func(ctx context.Context) <-chan struct{} {
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, ctxKey{}, 1), time.Hour)
		context.AfterFunc(ctx, cancel)
		return ctx.Done()
	},
	"AfterFunc": func(ctx context.Context) <-chan struct{} {
		ended := make(chan struct{})
		context.AfterFunc(ctx, func() { close(ended) })
		return ended
	},
}

// derives has methods that derive from their contexts in all of those ways.
type derives struct{ ended chan (<-chan struct{}) }

func (d derives) One(ctx context.Context, _ int, _ *int) error {
	for _, derive := range fromMethods {
		ended := derive(ctx)
		if rig.IsClosed(ended) || ctx.Err() != nil {
			return errors.New("the context has ended before the call")
		}
		d.ended <- ended
	}
	return nil
}

func (d derives) Many(ctx context.Context, _ <-chan int, _ chan<- int) error {
	return d.One(ctx, 0, nil)
}

// callsOfAll are ways to call One or Many.
var (
	typedOne  = rpc.NewMethod[int, int]("Svc", "One")
	typedMany = rpc.NewDuplex[int, int]("Svc", "Many")

	callsOfAll = map[string]func(ctx context.Context, s rig.Setup) error{
		"by name": func(ctx context.Context, s rig.Setup) error {
			return s.Client.CallContext(ctx, s.Dest, "Svc", "One", 1, new(int))
		},
		"typed": func(ctx context.Context, s rig.Setup) error {
			_, err := typedOne.Call(ctx, s.Client, s.Dest, 1)
			return err
		},
		"Go": func(ctx context.Context, s rig.Setup) error {
			done := make(chan *rpc.Call, 1)
			_ = s.Client.GoContext(ctx, s.Dest, "Svc", "One", 1, new(int), done)
			return (<-done).Error
		},
		"stream by name": func(ctx context.Context, s rig.Setup) error {
			return s.Client.Stream(ctx, s.Dest, "Svc", "Many", make(chan int), make(chan int, 1))
		},
		"typed stream": func(ctx context.Context, s rig.Setup) error {
			call := typedMany.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			for {
				if _, err := call.Receive(ctx); err != nil {
					return wellEnded(err)
				}
			}
		},
	}
)

// forEachContext runs f with contexts that can end, and one that cannot.
func forEachContext(t *testing.T, f func(t *testing.T, ctx context.Context)) {
	t.Helper()
	t.Run("that can end", func(t *testing.T) { f(t, rig.Context(t)) })
	t.Run("that cannot end", func(t *testing.T) { f(t, context.WithValue(context.Background(), ctxKey{}, 2)) })
}

func TestMethodsContextEndsWithTheCall(t *testing.T) {
	t.Parallel()
	for name, call := range callsOfAll {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachWay(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
				svc := derives{make(chan (<-chan struct{}), len(fromMethods))}
				s := with(svc, rig.Options{})
				forEachContext(t, func(t *testing.T, ctx context.Context) {
					if err := call(ctx, s); err != nil {
						t.Fatal(err)
					}
					for range fromMethods {
						rig.Take2(t, <-svc.ended)
					}
					if ctx.Err() != nil {
						t.Error("the caller's own has ended")
					}
				})
			})
		})
	}
}

// Calls are made of the same memory, in which nothing of an earlier one may be.
func TestMethodsContextThatIsKeptStaysEnded(t *testing.T) {
	t.Parallel()
	for name, call := range callsOfAll {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachWay(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
				svc := keeper{make(chan context.Context, 1)}
				s := with(svc, rig.Options{})
				local := s.Dest == s.Sender
				forEachContext(t, func(t *testing.T, ctx context.Context) {
					ctx = rpc.ContextWithMetadata(ctx, rpc.Metadata{"call": "first"})
					if err := call(ctx, s); err != nil {
						t.Fatal(err)
					}
					kept := <-svc.kept // nobody has looked at it
					var looks sync.WaitGroup
					for range 4 {
						looks.Go(func() {
							if local && kept.Err() != context.Canceled { // remotely it ends when the reply has been sent
								t.Errorf("its error is %v", kept.Err())
							}
							<-kept.Done()
							if err, cause := kept.Err(), context.Cause(kept); err != context.Canceled || !errors.Is(cause, context.Canceled) {
								t.Errorf("its error is %v, for %v", err, cause)
							}
							derived, cancel := context.WithCancel(kept)
							defer cancel()
							if derived.Err() != context.Canceled {
								t.Error("what is derived has not ended")
							}
						})
					}
					for range 100 {
						if err := call(context.Background(), s); err != nil {
							t.Fatal(err)
						}
						if next := <-svc.kept; next == kept {
							t.Fatal("two calls have one context")
						}
						if md := rpc.MetadataFromContext(kept); md["call"] != "first" {
							t.Fatalf("it is another call's, of %v", md)
						}
					}
					looks.Wait()
					if from, err := rpc.GetRequestSender(kept); err != nil || from != s.Sender {
						t.Errorf("its sender is %v, %v", from, err)
					}
					if v := kept.Value(ctxKey{}); local && ctx.Value(ctxKey{}) != v || !local && v != nil {
						t.Errorf("it has the caller's value %v", v)
					}
				})
			})
		})
	}
}

// The caller's end stays what it is.
func TestMethodsContextHasTheErrorOfTheCallersFirst(t *testing.T) {
	t.Parallel()
	for name, call := range callsOfAll {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachWay(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
				kept := make(chan context.Context, 10)
				s := with(waitsAndKeeps{kept}, rig.Options{})
				var ended context.Context
				for timeout := 50 * time.Millisecond; ended == nil; timeout *= 2 {
					ctx, cancel := context.WithTimeout(context.Background(), timeout)
					defer cancel()
					if err := call(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
						t.Fatal(err)
					}
					select {
					case ended = <-kept:
					case <-time.After(timeout): // the call may have ended before it was sent
					}
				}
				<-ended.Done()
				if err := ended.Err(); err != context.DeadlineExceeded {
					t.Errorf("its error is %v", err)
				}
			})
		})
	}
}

type waitsAndKeeps struct{ kept chan context.Context }

func (w waitsAndKeeps) One(ctx context.Context, _ int, _ *int) error {
	<-ctx.Done()
	w.kept <- ctx
	return ctx.Err()
}

func (w waitsAndKeeps) Many(ctx context.Context, _ <-chan int, _ chan<- int) error {
	return w.One(ctx, 0, nil)
}

// However a method ends, its context ends with it.
func TestMethodsContextEndsThoughTheMethodPanicsOrExits(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"panics", "exits"} {
		forEachWay(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
			ended := make(chan struct{})
			s := with(breaks{func(ctx context.Context) {
				context.AfterFunc(ctx, func() { close(ended) })
			}, how}, rig.Options{})
			rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "One", 1, new(int)) })
			rig.Take2(t, ended)
		})
	}
}

// Not parallel: others allocate too.
func TestLocalCallByNameAllocatesTwice(t *testing.T) {
	c, s := rig.LocalOnly(t, rig.Options{})
	if err := s.RegisterName("Svc", rig.Arith{}); err != nil {
		t.Fatal(err)
	}
	args, product := &rig.Args{A: 6, B: 7}, new(int)
	n := testing.AllocsPerRun(1000, func() {
		if err := c.Call("", "Svc", "Multiply", args, product); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2 {
		t.Errorf("%v allocations", n)
	}
}
