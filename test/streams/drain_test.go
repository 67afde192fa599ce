package streams_test

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// leaver has streaming methods that take no argument, or not all.
type leaver struct {
	began   chan struct{}
	release chan struct{} // closed to let Wait return
}

func newLeaver() *leaver {
	return &leaver{began: make(chan struct{}, 100), release: make(chan struct{})}
}

func (*leaver) Fail(context.Context, <-chan any, chan<- int) error { return errors.New("failed") }

func (*leaver) Nothing(context.Context, <-chan any, chan<- int) error { return nil }

func (*leaver) Panic(context.Context, <-chan any, chan<- int) error { panic("at once") }

func (*leaver) Quit(context.Context, <-chan any, chan<- int) error {
	runtime.Goexit()
	return nil
}

func (*leaver) Unary(context.Context, any, *int) error { return nil }

func (*leaver) Ints(_ context.Context, in <-chan int, _ chan<- int) error {
	for range in {
	}
	return nil
}

// Three takes as many arguments and returns.
func (*leaver) Three(_ context.Context, in <-chan any, _ chan<- int) error {
	for range 3 {
		<-in
	}
	return nil
}

func (*leaver) Drain(_ context.Context, in <-chan string, _ chan<- int) error {
	for range in {
	}
	return nil
}

func (*leaver) One(_ context.Context, _ <-chan any, out chan<- int) error {
	out <- 1
	return nil
}

func (l *leaver) Wait(ctx context.Context, _ <-chan any, _ chan<- int) error {
	l.began <- struct{}{}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.release:
		return nil
	}
}

// leavingCall is a call that ends before its arguments.
type leavingCall struct {
	rig.Options
	method string
	dest   func(t *testing.T, s rig.Setup) peer.ID     // nil for the server
	end    func(s rig.Setup, l *leaver, cancel func()) // ends a call of Wait
	third  any                                         // argument
	remote bool                                        // it cannot be so locally
	fresh  bool                                        // the next call needs another setup
	to     int                                         // destinations of a MultiStream; 0 for 3
}

func refusing(rpc.Handler) rpc.Handler {
	return func(context.Context, *rpc.CallInfo) error { return errors.New("refused") }
}

var leavingCalls = map[string]leavingCall{
	"the method fails":               {method: "Fail"},
	"the method returns nil":         {method: "Nothing"},
	"the method returns early":       {method: "Three"},
	"the method panics":              {method: "Panic"},
	"the method ends its goroutine":  {method: "Quit"},
	"no such method":                 {method: "Missing"},
	"no streaming method":            {method: "Unary"},
	"arguments of another type":      {method: "Ints"},
	"no destinations":                {method: "Nothing", to: -1},
	"an argument that cannot travel": {method: "Wait", remote: true, third: func() {}},
	"an argument too large": {method: "Wait", remote: true, Options: rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerLimits(rpc.Limits{MessageSize: 1})},
	}},
	"not authorized": {method: "Wait", remote: true, Options: rig.Options{
		Server: []rpc.ServerOption{rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false })},
	}},
	"too much metadata": {method: "Wait", remote: true, Options: rig.Options{
		Client: []rpc.ClientOption{rpc.WithCallInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				return next(rpc.AppendMetadata(ctx, "key", strings.Repeat("long", 10_000)), call)
			}
		})},
	}},
	"a client's interceptor refuses": {method: "Wait", Options: rig.Options{
		Client: []rpc.ClientOption{rpc.WithClientInterceptors(refusing)},
	}},
	"a server's interceptor refuses": {method: "Wait", Options: rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerInterceptors(refusing)},
	}},
	"the peer refuses connections": {method: "Wait", remote: true, dest: func(t *testing.T, s rig.Setup) peer.ID {
		dead := coretest.RandPeerIDFatal(t)
		s.Host.Peerstore().AddAddr(dead, rig.ClosedPort(t), peerstore.PermanentAddrTTL)
		return dead
	}},
	"the peer has no address": {method: "Wait", remote: true, dest: func(t *testing.T, _ rig.Setup) peer.ID {
		return coretest.RandPeerIDFatal(t)
	}},
	"the peer does not serve": {method: "Wait", remote: true, dest: func(t *testing.T, s rig.Setup) peer.ID {
		h := rig.NewHost(t)
		rig.Connect(t, s.Host, h)
		return h.ID()
	}},
	"the server was closed": {method: "Wait", fresh: true, dest: func(_ *testing.T, s rig.Setup) peer.ID {
		_ = s.Server.Close()
		return s.Dest
	}},
	"the context ends":      {method: "Wait", end: func(_ rig.Setup, _ *leaver, cancel func()) { cancel() }},
	"the method is let go":  {method: "Wait", fresh: true, end: func(_ rig.Setup, l *leaver, _ func()) { close(l.release) }},
	"the server is closed":  {method: "Wait", remote: true, fresh: true, end: func(s rig.Setup, _ *leaver, _ func()) { _ = s.Server.Close() }},
	"the connection breaks": {method: "Wait", remote: true, fresh: true, end: func(s rig.Setup, _ *leaver, _ func()) { _ = s.Host.Network().ClosePeer(s.Dest) }},
}

// leaves makes the call, and another goroutine sends on args with nothing but <-:
// long after the call has returned it is received from, by one goroutine, until
// it closes the channel.
func (c leavingCall) leaves(t *testing.T, s rig.Setup, l *leaver, multi bool, args reflect.Value) {
	ctx, cancel := context.WithCancel(rig.Context(t))
	defer cancel()
	dest, replies := s.Dest, make(chan int)
	if c.dest != nil {
		dest = c.dest(t, s)
	}
	calls := 1
	if multi {
		calls = max(0, cmp.Or(c.to, 3))
	}
	collected := rig.Collect(replies)
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		if multi {
			s.Client.MultiStream(ctx, slices.Repeat([]peer.ID{dest}, calls), "Svc", c.method, args.Interface(), replies)
		} else {
			_ = s.Client.Stream(ctx, dest, "Svc", c.method, args.Interface(), replies)
		}
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i, after := 0, 0; after < 1000; i++ {
			item := any("an argument")
			if i == 2 && c.third != nil {
				item = c.third
			}
			args.Send(reflect.ValueOf(item))
			select {
			case <-returned:
				after++
			default:
			}
		}
	}()
	if c.end != nil {
		for range calls { // one that begins later would not be ended
			rig.Take(t, "the method runs", l.began)
		}
		c.end(s, l, cancel)
	}
	rig.Take(t, "the call returns", returned)
	rig.Take(t, "all arguments are received", sent)
	collected()
	var left []string
	rig.Eventually(t, "one goroutine remains", func() bool {
		left = rig.LibraryGoroutines()
		return len(left) == 1
	})
	if !strings.Contains(left[0], "drainArguments") {
		t.Errorf("what remains is %s", left[0])
	}
	args.Close()
	rig.NoGoroutineStays(t)
}

// Not parallel: it looks at all goroutines.
func TestArgumentsAreDrainedWhenACallIsOver(t *testing.T) {
	for what, c := range leavingCalls {
		for _, tr := range rig.Transports {
			if c.remote && tr.Local {
				continue
			}
			t.Run(what+"/"+tr.Name, func(t *testing.T) {
				var s rig.Setup
				var l *leaver
				for _, multi := range []bool{false, true} {
					for _, args := range []any{make(chan any), make(chan string, 3)} {
						if _, native := args.(chan string); native && c.third != nil || c.to < 0 && !multi {
							continue
						}
						if s.Client == nil || c.fresh {
							s, l = tr.Setup(t, c.Options), newLeaver()
							if err := s.Server.RegisterName("Svc", l); err != nil {
								t.Fatal(err)
							}
						}
						c.leaves(t, s, l, multi, reflect.ValueOf(args))
					}
				}
			})
		}
	}
}

// draining returns how many goroutines drain arguments.
func draining() (n int) {
	for _, stack := range rig.LibraryGoroutines() {
		if strings.Contains(stack, "drainArguments") {
			n++
		}
	}
	return n
}

// Not parallel: it looks at all goroutines.
func TestDrainingEndsWithTheClient(t *testing.T) {
	overAllInTurn(t, newLeaver(), func(t *testing.T, s rig.Setup) {
		ints, values := make(chan int), make(chan any)
		if err := s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Fail", values, make(chan int)); err == nil {
			t.Error("no error")
		}
		s.Client.MultiStream(rig.Context(t), []peer.ID{s.Dest, s.Dest}, "Svc", "Missing", ints, make(chan int))
		rig.Eventually(t, "two goroutines drain", func() bool { return draining() == 2 })
		_ = s.Client.Close()
		rig.NoGoroutineStays(t)

		// Nor does it begin then.
		if err := s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Missing", ints, make(chan int)); err == nil {
			t.Error("the client is closed: no error")
		}
		if n := draining(); n != 0 {
			t.Errorf("%d goroutines drain for a closed client", n)
		}
	})
}

// Not parallel: it looks at all goroutines.
func TestNothingIsDrainedOfAClosedChannel(t *testing.T) {
	overAllInTurn(t, newLeaver(), func(t *testing.T, s rig.Setup) {
		for _, method := range []string{"Missing", "Fail", "Three", "Drain"} {
			for _, n := range []int{0, 100_000} {
				for _, multi := range []bool{false, true} {
					args, replies := make(chan string, n), make(chan int)
					for range n {
						args <- "an argument"
					}
					close(args)
					if multi {
						s.Client.MultiStream(rig.Context(t), []peer.ID{s.Dest, s.Dest}, "Svc", method, args, replies)
					} else {
						_ = s.Client.Stream(rig.Context(t), s.Dest, "Svc", method, args, replies)
					}
					if n := draining(); n != 0 {
						t.Errorf("%s: a goroutine drains a closed channel", method)
					}
				}
			}
		}
	})
}

// overAllInTurn is overAll, one after the other.
func overAllInTurn(t *testing.T, svc any, f func(t *testing.T, s rig.Setup)) {
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			s := tr.Setup(t, rig.Options{})
			if err := s.Server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			f(t, s)
		})
	}
}

// No destination takes arguments, though the call goes on: nobody reads the
// replies.
func TestArgumentsAreDrainedWhenNoDestinationTakesThem(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, newLeaver(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx, cancel := context.WithCancel(rig.Context(t))
		defer cancel()
		args, replies := make(chan any), make(chan int)
		result := rig.InBackground(func() []error {
			return s.Client.MultiStream(ctx, []peer.ID{s.Dest}, "Svc", "One", args, replies)
		})
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for range 100_000 {
				args <- strings.Repeat("argument", 100)
			}
			close(args)
		}()
		rig.Take(t, "all arguments are received", sent)
		select {
		case <-result:
			t.Error("MultiStream returned before its reply was read")
		default:
		}
		rig.Take(t, "the reply", replies)
		if err := errors.Join(rig.Take(t, "MultiStream returns", result)...); err != nil {
			t.Error(err)
		}
	})
}

// A panic of a client's interceptor is an error of the call.
func TestArgumentsAreDrainedAfterAPanicOfAnInterceptor(t *testing.T) {
	t.Parallel()
	panics := rpc.WithClientInterceptors(func(rpc.Handler) rpc.Handler {
		return func(context.Context, *rpc.CallInfo) error { panic("the program's") }
	})
	rig.OverAll(t, newLeaver(), rig.Options{Client: []rpc.ClientOption{panics}}, func(t *testing.T, s rig.Setup) {
		args := make(chan any)
		if err := s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Nothing", args, make(chan int)); rpc.CodeOf(err) != codes.Internal {
			t.Errorf("got %v", err)
		}
		for range 100 {
			select {
			case args <- 1:
			case <-time.After(20 * time.Second):
				t.Fatal("an argument is not received within 20 s")
			}
		}
		close(args)
	})
}
