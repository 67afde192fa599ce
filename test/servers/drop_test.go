package servers_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// watches has methods that tell when they run, and end with their contexts or when
// they are let go. Then they return no error: a stranger is told all the same.
type watches struct {
	runs, ended chan string
	letGo       chan struct{}
}

func newWatches() *watches {
	return &watches{make(chan string, 10), make(chan string, 10), make(chan struct{})}
}

func (w *watches) wait(ctx context.Context, method string) {
	w.runs <- method
	select {
	case <-ctx.Done():
		w.ended <- method
	case <-w.letGo:
	}
}

func (w *watches) Unary(ctx context.Context, _ int, r *int) error {
	w.wait(ctx, "Unary")
	*r = 42
	return nil
}

func (w *watches) Many(ctx context.Context, _ <-chan int, out chan<- int) error {
	out <- 1
	w.wait(ctx, "Many")
	out <- 42
	return nil
}

var (
	dropTyped  = rpc.NewMethod[int, int]("Svc", "Typed")
	dropStream = rpc.NewServerStream[int, int]("Svc", "Stream")
	dropDuplex = rpc.NewDuplex[int, int]("Svc", "Duplex")
)

func (w *watches) handle(t *testing.T, s *rpc.Server) {
	t.Helper()
	rig.MustHandle(t, s, dropTyped, func(ctx context.Context, _ int) (int, error) {
		w.wait(ctx, "Typed")
		return 42, nil
	})
	err := dropStream.Handle(s, func(ctx context.Context, _ int, out *rpc.Sender[int]) error {
		_ = out.Send(ctx, 1)
		w.wait(ctx, "Stream")
		_ = out.Send(context.Background(), 42)
		return nil
	})
	err = errors.Join(err, dropDuplex.Handle(s, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
		w.runs <- "Duplex"
		for _, err := range in.All(ctx) {
			if err != nil {
				w.ended <- "Duplex"
				return nil
			}
		}
		return out.Send(ctx, 42)
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// dropCalls make calls of the methods, and return the last that they got.
var dropCalls = map[string]func(s rig.Setup) (int, error){
	"Unary": func(s rig.Setup) (n int, err error) {
		err = s.Client.Call(s.Dest, "Svc", "Unary", 1, &n)
		return n, err
	},
	"Typed": func(s rig.Setup) (int, error) { return dropTyped.Call(context.Background(), s.Client, s.Dest, 1) },
	"Many": func(s rig.Setup) (last int, err error) {
		args, replies := make(chan int), make(chan int, 10)
		defer close(args)
		err = s.Client.Stream(context.Background(), s.Dest, "Svc", "Many", args, replies)
		for n := range replies {
			last = n
		}
		return last, err
	},
	"Stream": func(s rig.Setup) (last int, err error) {
		for n, err := range dropStream.Call(context.Background(), s.Client, s.Dest, 1) {
			if err != nil {
				return last, err
			}
			last = n
		}
		return last, nil
	},
	"Duplex": func(s rig.Setup) (int, error) {
		call := dropDuplex.Open(context.Background(), s.Client, s.Dest)
		defer call.Close()
		return call.Receive(context.Background()) // its arguments stay open
	},
}

// rules can be changed.
type rules struct{ denied atomic.Pointer[string] }

func (r *rules) option() rpc.ServerOption {
	return rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool {
		d := r.denied.Load()
		return d == nil || *d != method && *d != "all"
	})
}

func (r *rules) deny(method string) { r.denied.Store(&method) }

func TestDropEndsWhatIsNoLongerAllowed(t *testing.T) {
	t.Parallel()
	for method := range dropCalls {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				w, allowed := newWatches(), new(rules)
				s := tr.With(t, w, rig.Options{Server: []rpc.ServerOption{allowed.option()}})
				w.handle(t, s.Server)
				type result struct {
					n   int
					err error
				}
				started := func(method string) <-chan result {
					got := rig.InBackground(func() result {
						n, err := dropCalls[method](s)
						return result{n, err}
					})
					if runs := rig.Take(t, "the method runs", w.runs); runs != method {
						t.Fatalf("%s runs", runs)
					}
					return got
				}
				other := "Typed"
				if method == other {
					other = "Stream"
				}
				stays, goes := started(other), started(method)
				s.Server.Drop(s.Sender) // nothing has changed
				allowed.deny(method)
				s.Server.Drop("another")
				if n := len(w.ended); n > 0 {
					t.Errorf("%d methods have ended", n)
				}
				s.Server.Drop(s.Sender)
				if ended := rig.Take(t, "its context ends", w.ended); ended != method {
					t.Errorf("%s has ended", ended)
				}
				got := rig.Take(t, "the call ends", goes)
				rig.CheckErr(t, got.err, rpc.AuthorizationErr, codes.PermissionDenied, "Svc."+method)
				if got.n == 42 {
					t.Error("it got what was replied later")
				}
				s.Server.Drop(s.Sender)
				close(w.letGo)
				if got := rig.Take(t, "the call ends", stays); got.err != nil || got.n != 42 {
					t.Errorf("a call that is still allowed: %d, %v", got.n, got.err)
				}
				_, err := dropCalls[method](s)
				rig.CheckErr(t, err, rpc.AuthorizationErr, codes.PermissionDenied, "Svc."+method)
				if err := s.Server.Shutdown(rig.Context(t)); err != nil {
					t.Errorf("a call is still counted: %v", err)
				}
			})
		})
	}
}

// Nobody has looked at the method's context before.
func TestDropOfAMethodThatLooksAtItsContextLater(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		runs, look, seen := make(chan struct{}), make(chan struct{}), make(chan [2]error, 1)
		allowed := new(rules)
		s := tr.Setup(t, rig.Options{Server: []rpc.ServerOption{allowed.option()}})
		rig.MustHandle(t, s.Server, dropTyped, func(ctx context.Context, _ int) (int, error) {
			runs <- struct{}{}
			<-look
			seen <- [2]error{ctx.Err(), context.Cause(ctx)}
			return 42, nil
		})
		got := rig.InBackground(func() error { _, err := dropTyped.Call(rig.Context(t), s.Client, s.Dest, 1); return err })
		rig.Take2(t, runs)
		allowed.deny("Typed")
		s.Server.Drop(s.Sender)
		close(look)
		if errs := rig.Take(t, "the method looks", seen); errs[0] != context.Canceled || rpc.CodeOf(errs[1]) != codes.PermissionDenied {
			t.Errorf("its context says %v", errs)
		}
		rig.CheckErr(t, rig.Take(t, "the call ends", got), rpc.AuthorizationErr, codes.PermissionDenied)
	})
}

// The rules change after the call was found to be allowed, and before it is one of
// those under way.
func TestDropWhileACallIsBeingAuthorized(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		var s rig.Setup
		var asked atomic.Int32
		s = tr.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
			rpc.WithAuthorizeFunc(func(p peer.ID, _, _ string) bool {
				if asked.Add(1) > 1 {
					return false
				}
				s.Server.Drop(p)
				return true
			}),
		}})
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int))
		rig.CheckErr(t, err, rpc.AuthorizationErr, codes.PermissionDenied)
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// A call whose argument is still on its way is one of those under way.
func TestDropOfACallWhoseArgumentIsOnItsWay(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	authorized, dropped := make(chan struct{}), new(atomic.Bool)
	s := rig.Serve(t, b, rig.Arith{}, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool {
		if !dropped.Load() {
			close(authorized)
		}
		return !dropped.Load()
	}))
	st := rig.Open(t, a, b, rig.Protocol)
	rig.Write(t, st, rig.Cat(rig.Header("Svc", "Multiply"), "\x82"))
	rig.Take2(t, authorized)
	dropped.Store(true)
	got := rig.InBackground(func() []byte { b, _ := io.ReadAll(st); return b })
	// Until it has entered, it is not asked again.
	rig.Eventually(t, "the call ends", func() bool { s.Drop(a.ID()); return len(got) > 0 })
	if all := rig.Answers(t, <-got); len(all) != 1 || all[0].ErrType != rpc.AuthorizationErr {
		t.Errorf("got %+v", all)
	}
}

// Without rules there is nothing to ask, and local calls are never asked about.
func TestDropWithoutRulesAndOfLocalCalls(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		w, allowed := newWatches(), new(rules)
		o := rig.Options{}
		s := with(w, o)
		if s.Dest == s.Sender {
			o.Server = append(o.Server, allowed.option())
			s = with(w, o)
		}
		got := rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Unary", 1, new(int)) })
		rig.Take(t, "the method runs", w.runs)
		allowed.deny("all")
		s.Server.Drop(s.Sender)
		close(w.letGo)
		if err := rig.Take(t, "the call ends", got); err != nil {
			t.Error(err)
		}
	})
}
