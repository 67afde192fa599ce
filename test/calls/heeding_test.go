package calls_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// heeds declares that methods heed their contexts.
func heeds(id rpc.ServiceID) rpc.ServerOption {
	return rpc.WithMethodConfig(id, rpc.MethodConfig{HeedsContext: true})
}

// forEachWay is rig.ForEachTransport, and local calls in their callers' goroutines.
func forEachWay(t *testing.T, f func(t *testing.T, with func(any, rig.Options) rig.Setup)) {
	t.Helper()
	rig.ForEachTransport(t, f)
	t.Run("local, heeding", func(t *testing.T) {
		t.Parallel()
		f(t, func(svc any, o rig.Options) rig.Setup {
			o.Server = append(o.Server, heeds(rpc.ServiceID{}))
			return rig.Local.With(t, svc, o)
		})
	})
}

// goroutine tells goroutines apart.
func goroutine() string {
	b := make([]byte, 64)
	return strings.Fields(string(b[:runtime.Stack(b, false)]))[1]
}

// where has methods that reply in which goroutine they run.
type where struct{}

func (where) One(_ context.Context, _ int, r *string) error {
	*r = goroutine()
	return nil
}

func (where) Other(ctx context.Context, n int, r *string) error { return where{}.One(ctx, n, r) }

func (where) Many(_ context.Context, _ <-chan int, out chan<- string) error {
	out <- goroutine()
	return nil
}

// whereCalls are calls of where's methods, and of a typed one.
var (
	typedWhere = rpc.NewMethod[int, string]("Svc", "Typed")

	whereCalls = map[string]func(ctx context.Context, c *rpc.Client) (string, error){
		"One":   whereByName("One"),
		"Other": whereByName("Other"),
		"Typed": func(ctx context.Context, c *rpc.Client) (string, error) { return typedWhere.Call(ctx, c, "", 1) },
		"Many": func(ctx context.Context, c *rpc.Client) (string, error) {
			args, replies := make(chan int), make(chan string, 1)
			close(args)
			err := c.Stream(ctx, "", "Svc", "Many", args, replies)
			return <-replies, err
		},
	}
)

func whereByName(method string) func(ctx context.Context, c *rpc.Client) (string, error) {
	return func(ctx context.Context, c *rpc.Client) (at string, err error) {
		err = c.CallContext(ctx, "", "Svc", method, 1, &at)
		return at, err
	}
}

// It is declared of a method, of a service or of a server, for receivers and for
// typed methods alike.
func TestHeedingMethodRunsInItsCallersGoroutine(t *testing.T) {
	t.Parallel()
	all := []string{"One", "Other", "Typed", "Many"}
	for name, test := range map[string]struct {
		of    []rpc.ServerOption
		heeds []string
	}{
		"nobody declares it": {},
		"a method":           {[]rpc.ServerOption{heeds(rpc.ServiceID{Name: "Svc", Method: "One"})}, []string{"One"}},
		"a typed method":     {[]rpc.ServerOption{heeds(rpc.ServiceID{Name: "Svc", Method: "Typed"})}, []string{"Typed"}},
		"a streaming method": {[]rpc.ServerOption{heeds(rpc.ServiceID{Name: "Svc", Method: "Many"})}, []string{"Many"}},
		"the service":        {[]rpc.ServerOption{heeds(rpc.ServiceID{Name: "Svc"})}, all},
		"another service":    {[]rpc.ServerOption{heeds(rpc.ServiceID{Name: "Other"})}, nil},
		"the server":         {[]rpc.ServerOption{heeds(rpc.ServiceID{})}, all},
		"a farther option that says nothing": {[]rpc.ServerOption{
			heeds(rpc.ServiceID{Name: "Svc", Method: "One"}), rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{}),
		}, []string{"One"}},
		"a nearer option that says nothing": {[]rpc.ServerOption{
			heeds(rpc.ServiceID{}), rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc", Method: "One"}, rpc.MethodConfig{}),
		}, all},
		"the last option of two": {[]rpc.ServerOption{
			heeds(rpc.ServiceID{Name: "Svc"}), rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc"}, rpc.MethodConfig{}),
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := rig.LocalOnly(t, rig.Options{Server: test.of})
			if err := s.RegisterName("Svc", where{}); err != nil {
				t.Fatal(err)
			}
			rig.MustHandle(t, s, typedWhere, func(context.Context, int) (string, error) { return goroutine(), nil })
			for _, method := range all {
				at, err := whereCalls[method](rig.Context(t), c)
				if want := strings.Contains(fmt.Sprint(test.heeds), method); err != nil || (at == goroutine()) != want {
					t.Errorf("%s: in the caller's goroutine: %v, not %v (%v)", method, at == goroutine(), want, err)
				}
			}
		})
	}
}

func TestMethodConfigOfAMethodWithoutAService(t *testing.T) {
	t.Parallel()
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), `"Multiply"`) {
			t.Errorf("it panics with %v", v)
		}
	}()
	rpc.WithMethodConfig(rpc.ServiceID{Method: "Multiply"}, rpc.MethodConfig{})
}

// The caller is told what it would be told if it had not waited.
func TestHeedingMethodWhoseCallersContextEnds(t *testing.T) {
	t.Parallel()
	b := &rig.Blocker{Started: make(chan struct{}, 1), Ended: make(chan error, 1)}
	s := rig.Local.With(t, b, rig.Options{Server: []rpc.ServerOption{heeds(rpc.ServiceID{})}})
	typed := rpc.NewMethod[struct{}, int]("Svc", "Block")
	ways := map[string]func(ctx context.Context) error{
		"by name": func(ctx context.Context) error {
			return s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int))
		},
		"typed": func(ctx context.Context) error {
			_, err := typed.Call(ctx, s.Client, s.Dest, struct{}{})
			return err
		},
		"stream by name": func(ctx context.Context) error {
			return s.Client.Stream(ctx, s.Dest, "Svc", "Wait", make(chan int), make(chan int))
		},
	}
	for name, way := range ways {
		ctx, cancel := context.WithCancelCause(context.Background())
		got := rig.InBackground(func() error { return way(ctx) })
		rig.Take(t, "the method runs", b.Started)
		cancel(errors.New("enough"))
		if err := rig.Take(t, "the method ends", b.Ended); err != context.Canceled {
			t.Errorf("%s: the method's context says %v", name, err)
		}
		err := rig.Take(t, "the call ends", got)
		if name == "typed" {
			rig.CheckErr(t, err, rpc.ClientErr, codes.Canceled, "Svc.Block", "enough")
			continue
		}
		rig.CheckEnded(t, err, context.Canceled, "Svc.", "enough")
	}
}

// Nothing in Go keeps a goroutine that ends itself; what can be put right is.
func TestHeedingMethodThatPanicsOrExits(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"panics", "exits"} {
		for _, method := range []string{"One", "Many"} {
			told := newEndings("")
			ended := make(chan struct{})
			s := rig.Local.With(t, breaks{func(ctx context.Context) {
				context.AfterFunc(ctx, func() { close(ended) })
			}, how}, rig.Options{Server: []rpc.ServerOption{heeds(rpc.ServiceID{}), rpc.WithServerStatsHandler(told)}})
			errs := make(chan error, 1)
			go func() {
				err := error(nil)
				defer func() { errs <- err }()
				if method == "One" {
					err = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "One", 1, new(int))
				} else {
					err = s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Many", make(chan int), make(chan int))
				}
			}()
			err := rig.Take(t, "the caller's goroutine", errs)
			if how == "panics" {
				rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, "Svc."+method, "panicked")
			} else if err != nil {
				t.Errorf("%s returned %v", method, err)
			}
			rig.Take2(t, ended)
			told.check(t, how+": "+method, 1, codes.Internal)
			if err := s.Server.Shutdown(rig.Context(t)); err != nil {
				t.Errorf("%s: a call is still counted: %v", how, err)
			}
		}
	}
}

// Not parallel: others allocate too.
func TestLocalCallOfAHeedingMethodAllocates(t *testing.T) {
	c, s := rig.LocalOnly(t, rig.Options{Server: []rpc.ServerOption{heeds(rpc.ServiceID{})}})
	if err := s.RegisterName("Named", rig.Arith{}); err != nil {
		t.Fatal(err)
	}
	rig.MustHandle(t, s, rig.DivideMethod, rig.HandleDivide)
	nested := rig.MustHandle(t, s, rpc.NewMethod[rig.Args, rig.Quotient]("Svc", "Nested"),
		func(ctx context.Context, a rig.Args) (rig.Quotient, error) {
			return rig.DivideMethod.Call(ctx, c, "", a)
		})
	ctx := rig.Context(t) // has a deadline
	args, product := &rig.Args{A: 6, B: 7}, new(int)
	for _, call := range []struct {
		name string
		most float64
		make func() error
	}{
		{"typed", 1, func() error {
			_, err := rig.DivideMethod.Call(ctx, c, "", rig.Args{A: 7, B: 2})
			return err
		}},
		{"by name", 2, func() error { return c.CallContext(ctx, "", "Named", "Multiply", args, product) }},
		{"two, of which one makes the other", 2, func() error {
			_, err := nested.Call(ctx, c, "", rig.Args{A: 7, B: 2})
			return err
		}},
	} {
		n := testing.AllocsPerRun(1000, func() {
			if err := call.make(); err != nil {
				t.Fatal(err)
			}
		})
		if n > call.most {
			t.Errorf("%s: %v allocations, not %v", call.name, n, call.most)
		}
	}
}
