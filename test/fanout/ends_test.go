package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// blocking has a method that blocks at all peers but the first, and tells how
// it ended.
type blocking struct {
	started chan int
	ended   chan error
}

func newBlocking(t testing.TB, c *cluster, quick ...int) (*blocking, *rpc.Method[int, int]) {
	b := &blocking{make(chan int, 100), make(chan error, 100)}
	m := rpc.NewMethod[int, int]("Svc", "Block")
	serveAll(t, c, m, func(i int) func(context.Context, int) (int, error) {
		return func(ctx context.Context, n int) (int, error) {
			if slices.Contains(quick, i) {
				return n + i, nil
			}
			b.started <- i
			<-ctx.Done()
			b.ended <- ctx.Err()
			return 0, ctx.Err()
		}
	})
	return b, m
}

// Not parallel: it looks at the goroutines of the whole process.
func TestLeavingTheLoopCancelsTheOthers(t *testing.T) {
	for _, tr := range rig.Transports {
		if tr.Local {
			continue
		}
		for what, leave := range map[string]func(c *cluster, b *blocking, m *rpc.Method[int, int]){
			"break": func(c *cluster, b *blocking, m *rpc.Method[int, int]) {
				for range m.CallAll(rig.Context(t), c.client, c.peers, 1) {
					for range 2 {
						rig.Take(t, "the others begin", b.started)
					}
					break
				}
			},
			"panic": func(c *cluster, b *blocking, m *rpc.Method[int, int]) {
				defer func() {
					if r := recover(); r != "the loop's" {
						t.Errorf("recovered %v", r)
					}
				}()
				for range m.CallAll(rig.Context(t), c.client, c.peers, 1) {
					for range 2 {
						rig.Take(t, "the others begin", b.started)
					}
					panic("the loop's")
				}
			},
			"first": func(c *cluster, b *blocking, m *rpc.Method[int, int]) {
				n := 0
				for range m.CallAll(rig.Context(t), c.client, c.peers, 1, fan.First(1)) {
					n++
					for range 2 {
						rig.Take(t, "the others begin", b.started)
					}
				}
				if n != 1 {
					t.Errorf("%d results", n)
				}
			},
		} {
			t.Run(tr.Name+"/"+what, func(t *testing.T) {
				c := newCluster(t, tr, 3)
				b, m := newBlocking(t, c, 0)
				leave(c, b, m)
				for range 2 {
					if err := rig.Take(t, "the methods are told", b.ended); !errors.Is(err, context.Canceled) {
						t.Errorf("with %v", err)
					}
				}
				rig.NoGoroutineStays(t)
			})
		}
	}
}

func TestEndOfTheContextIsEveryPeersResult(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, bound := range []int{0, 1} { // with some that are not called yet
			c := newCluster(t, tr, 3)
			b, m := newBlocking(t, c)
			ctx, cancel := context.WithCancel(rig.Context(t))
			go func() {
				<-b.started
				cancel()
			}()
			got, err := m.CollectAll(ctx, c.client, c.peers, 1, fan.InFlight(bound))
			if !errors.Is(err, context.Canceled) || len(got.Errors) != 3 {
				t.Errorf("%d errors: %v", len(got.Errors), err)
			}
			for p, err := range got.Errors {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%v: %v", p, err)
				}
			}
		}
	})
}

func TestQuorum(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 4)
		b, m := newBlocking(t, c, 0, 1, 2)
		// Reached while one blocks, which is cancelled.
		values := make(map[peer.ID]int)
		for p, r := range m.CallAll(rig.Context(t), c.client, c.peers, 10, fan.Quorum(3)) {
			if len(values) == 0 {
				rig.Take(t, "the other begins", b.started)
			}
			if values[p] = r.Value; r.Err != nil {
				t.Error(r.Err)
			}
		}
		if want := map[peer.ID]int{c.peers[0]: 10, c.peers[1]: 11, c.peers[2]: 12}; !maps.Equal(values, want) {
			t.Errorf("got %v", values)
		}
		if err := rig.Take(t, "the other is cancelled", b.ended); !errors.Is(err, context.Canceled) {
			t.Errorf("with %v", err)
		}

		// Out of reach while one blocks and three are dead: three of six.
		dests := slices.Concat(c.peers[1:3], []peer.ID{c.peers[3], c.dead(t), c.dead(t), c.dead(t)})
		got, err := take2Results(t, func() (fan.Results[int], error) {
			return m.CollectAll(rig.Context(t), c.client, dests, 10, fan.Quorum(4))
		})
		if err == nil || len(got.Errors) != 3 || rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("%+v, %v", got, err)
		}
		rig.CheckNames(t, err, "Svc.Block", "of 6 peers succeeded, and 4 were needed")

		// First goes on to the end, and has too few.
		got, err = m.CollectAll(rig.Context(t), c.client, dests[:2], 10, fan.First(3))
		if err == nil || len(got.Values) != 2 || len(got.Errors) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		rig.CheckNames(t, err, "2 of 2 peers succeeded, and 3 were needed")
		// More than there are peers: nobody is called.
		got, err = m.CollectAll(rig.Context(t), c.client, dests[:2], 10, fan.Quorum(3))
		if err == nil || len(got.Values)+len(got.Errors) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// take2Results is take for what returns two.
func take2Results[R any](t testing.TB, f func() (fan.Results[R], error)) (fan.Results[R], error) {
	t.Helper()
	var err error
	got := rig.Take(t, "the results are collected", rig.InBackground(func() (r fan.Results[R]) {
		r, err = f()
		return r
	}))
	return got, err
}

func TestManyDeadPeersDoNotHoldUpTheLiving(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 3)
		serveAll(t, c, which, func(i int) func(context.Context, int) (int, error) {
			return func(_ context.Context, n int) (int, error) { return n + i, nil }
		})
		var dests []peer.ID
		for range 200 {
			dests = append(dests, c.silent(t))
		}
		got, err := take2Results(t, func() (fan.Results[int], error) {
			return which.CollectAll(rig.Context(t), c.client, append(dests, c.peers...), 10, fan.First(3))
		})
		if want := fmt.Sprint(map[peer.ID]int{c.peers[0]: 10, c.peers[1]: 11, c.peers[2]: 12}); err != nil || fmt.Sprint(got.Values) != want {
			t.Errorf("%+v, %v", got.Values, err)
		}
	})
}

// exits ends the goroutine that it is called in.
type exits struct{}

func (exits) One(context.Context, int, *int) error {
	runtime.Goexit()
	return nil
}

func (exits) Many(context.Context, <-chan int, chan<- int) error {
	runtime.Goexit()
	return nil
}

// A method that ends its caller's goroutine ends its call, and no other.
func TestCallsOfManyPeersEndThoughAMethodExits(t *testing.T) {
	t.Parallel()
	c, s := rig.LocalOnly(t, rig.Options{Server: []rpc.ServerOption{
		rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{HeedsContext: true}),
	}})
	if err := s.RegisterName("Svc", exits{}); err != nil {
		t.Fatal(err)
	}
	one := rpc.NewMethod[int, int]("Svc", "One")
	for name, opts := range map[string][]fan.Option{
		"all": nil, "one at a time": {fan.InFlight(1)}, "writes": {fan.WriteQuorum(1)},
	} {
		t.Run(name, func(t *testing.T) {
			results := rig.Take(t, "the results", rig.InBackground(func() fan.Results[int] {
				r, _ := one.CollectAll(rig.Context(t), c, []peer.ID{""}, 1, opts...)
				return r
			}))
			if len(results.Errors) != 1 {
				t.Errorf("%+v", results)
			}
			for _, err := range results.Errors {
				rig.CheckErr(t, err, rpc.ClientErr, codes.Internal, "ended its goroutine")
			}
		})
	}
	args, replies := make(chan int), make(chan int)
	close(args)
	errs := rig.Take(t, "the errors", rig.InBackground(func() []error {
		return c.MultiStream(rig.Context(t), []peer.ID{""}, "Svc", "Many", args, replies)
	}))
	rig.CheckErr(t, errs[0], rpc.ClientErr, codes.Internal, "ended its goroutine")
}

// exiting ends the goroutine that decodes it.
type exiting struct{}

func (exiting) MarshalBinary() ([]byte, error) { return []byte{1}, nil }
func (*exiting) UnmarshalBinary([]byte) error  { runtime.Goexit(); return nil }

// A reply whose type ends the goroutine that decodes it ends its call, and no other.
func TestCallsOfManyPeersEndThoughAReplyExits(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{})
		one := rpc.NewMethod[int, exiting]("Svc", "One")
		if err := one.Handle(s.Server, func(context.Context, int) (exiting, error) { return exiting{}, nil }); err != nil {
			t.Fatal(err)
		}
		for range 2 { // before and after there is a session
			results := rig.Take(t, "the results", rig.InBackground(func() fan.Results[exiting] {
				r, _ := one.CollectAll(rig.Context(t), s.Client, []peer.ID{s.Dest}, 1)
				return r
			}))
			rig.CheckErr(t, results.Errors[s.Dest], rpc.ClientErr, codes.Internal, "ended its goroutine")
			errs := rig.Take(t, "the errors", rig.InBackground(func() []error {
				return s.Client.MultiCall([]context.Context{rig.Context(t)}, []peer.ID{s.Dest}, "Svc", "One", 1, []any{new(exiting)})
			}))
			rig.CheckErr(t, errs[0], rpc.ClientErr, codes.Internal, "ended its goroutine")
			done := make(chan *rpc.Call, 1)
			if err := s.Client.GoContext(rig.Context(t), s.Dest, "Svc", "One", 1, new(exiting), done); err != nil {
				t.Fatal(err)
			}
			rig.CheckErr(t, rig.Take(t, "the call", done).Error, rpc.ClientErr, codes.Internal, "ended its goroutine")
		}
	})
}

// More successes than there are peers are asked for by mistake, as when one is named twice.
func TestQuorumOfMorePeersThanThereAreCallsNone(t *testing.T) {
	t.Parallel()
	s := rig.Session.Setup(t, rig.Options{})
	one := rpc.NewMethod[int, int]("Svc", "One")
	if err := one.Handle(s.Server, func(context.Context, int) (int, error) { t.Error("it is called"); return 0, nil }); err != nil {
		t.Fatal(err)
	}
	for name, opt := range map[string]fan.Option{"to read": fan.Quorum(2), "to write": fan.WriteQuorum(2)} {
		_, err := one.CollectAll(rig.Context(t), s.Client, []peer.ID{s.Dest, s.Dest}, 1, opt)
		if rpc.CodeOf(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "1 different peers are fewer than are needed: none was called") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
