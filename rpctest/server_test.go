package rpctest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// overBoth runs f with calls within a process, and between hosts in memory.
func overBoth(t *testing.T, f func(t *testing.T, start func(testing.TB, ...rpc.ServerOption) (*rpc.Client, *rpctest.Server))) {
	t.Helper()
	for name, start := range map[string]func(testing.TB, ...rpc.ServerOption) (*rpc.Client, *rpctest.Server){
		"local": rpctest.Local, "pair": rpctest.Pair,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, start)
		})
	}
}

func TestMockedFunctionsAreCalledAndRecorded(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(testing.TB, ...rpc.ServerOption) (*rpc.Client, *rpctest.Server)) {
		client, server := start(t)
		server.Mock("Connector", rpctest.Methods{
			"Pin": func(_ context.Context, p Pin, where *string) error {
				*where = "disk of " + p.Cid
				if p.Depth < 0 {
					return errDisk
				}
				return nil
			},
			"Blocks": func(_ context.Context, in <-chan int, out chan<- string) error {
				for n := range in {
					out <- fmt.Sprint("block ", n)
				}
				return errDisk
			},
		})
		server.Mock("Other", rpctest.Methods{"Name": rpctest.Reply[struct{}]("Ada")})
		server.Mock("Connector", rpctest.Methods{"Unpin": pinned})

		var where, name string
		if err := client.Call(server.ID(), "Connector", "Pin", Pin{"cid", 1}, &where); err != nil || where != "disk of cid" {
			t.Errorf("Pin: %q, %v", where, err)
		}
		if err := client.Call(server.ID(), "Connector", "Pin", &Pin{"cid", -1}, &where); err == nil || err.Error() != errDisk.Error() {
			t.Errorf("Pin: %q, %v", where, err)
		}
		if err := client.Call(server.ID(), "Other", "Name", struct{}{}, &name); err != nil || name != "Ada" {
			t.Errorf("Name: %q, %v", name, err)
		}
		args, replies := make(chan int, 3), make(chan string, 3)
		args <- 1
		args <- 2
		close(args)
		if err := client.Stream(testContext(t), server.ID(), "Connector", "Blocks", args, replies); err == nil || err.Error() != errDisk.Error() {
			t.Errorf("Blocks: %v", err)
		}
		if a, b := <-replies, <-replies; a != "block 1" || b != "block 2" {
			t.Errorf("Blocks: %q, %q", a, b)
		}

		calls := server.Calls()
		local := server.ID() == ""
		want := []rpctest.Call{
			{Service: "Connector", Method: "Pin", Kind: rpc.Unary, Args: Pin{"cid", 1}, Reply: "disk of cid"},
			{Service: "Connector", Method: "Pin", Kind: rpc.Unary, Args: Pin{"cid", -1}, Reply: "disk of cid", Err: errDisk},
			{Service: "Other", Method: "Name", Kind: rpc.Unary, Args: struct{}{}, Reply: "Ada"},
			{Service: "Connector", Method: "Blocks", Kind: rpc.Streaming, Items: []any{1, 2}, Err: errDisk},
		}
		if len(calls) != len(want) {
			t.Fatalf("calls %v", calls)
		}
		for i, c := range calls {
			w := want[i]
			if c.Service != w.Service || c.Method != w.Method || c.Kind != w.Kind || c.Peer != client.ID() || c.Local != local || !c.Done ||
				c.Args != w.Args || c.Reply != w.Reply || !errors.Is(c.Err, w.Err) || !slices.Equal(c.Items, w.Items) {
				t.Errorf("got %+v\nwant %+v", c, w)
			}
		}
		if s := calls[3].String(); !strings.HasPrefix(s, "Connector.Blocks(2 items) from ") {
			t.Errorf("the stream is described as %q", s)
		}
		if n := len(server.Method("Connector", "Pin").Calls()); n != 2 {
			t.Errorf("%d calls of Pin", n)
		}
	})
}

func TestUnexpectedCallsFailTheTest(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(testing.TB, ...rpc.ServerOption) (*rpc.Client, *rpctest.Server)) {
		var n int
		for _, c := range []struct {
			what string
			call func(*rpc.Client, *rpctest.Server) error
			code codes.Code
			says []string
		}{
			{"another method", func(c *rpc.Client, s *rpctest.Server) error {
				return c.Call(s.ID(), "Connector", "Unpin", Pin{"the cid", 7}, &n)
			}, codes.Unimplemented, []string{"unexpected call of Connector.Unpin", "Connector has Blocks, Pin", "Cid:the cid", "Depth:7"}},
			{"another service", func(c *rpc.Client, s *rpctest.Server) error {
				return c.Call(s.ID(), "Conector", "Pin", []Pin{{"the cid", 7}}, &n)
			}, codes.Unimplemented, []string{"unexpected call of Conector.Pin", "there are Connector, Other", "Cid:the cid", "Depth:7"}},
			{"a streaming call", func(c *rpc.Client, s *rpctest.Server) error {
				return c.Stream(testContext(t), s.ID(), "Other", "Stream", make(chan int), make(chan int))
			}, codes.Unimplemented, []string{"unexpected call of Other.Stream", "Other has Name", "a stream"}},
			{"the other kind", func(c *rpc.Client, s *rpctest.Server) error {
				return c.Stream(testContext(t), s.ID(), "Connector", "Pin", make(chan int), make(chan int))
			}, codes.Unimplemented, []string{"unexpected call of Connector.Pin", "the method is unary"}},
			{"another argument", func(c *rpc.Client, s *rpctest.Server) error {
				return c.Call(s.ID(), "Connector", "Pin", []int{7}, &n)
			}, codes.InvalidArgument, []string{"unexpected call of Connector.Pin", "takes rpctest_test.Pin"}},
		} {
			var err error
			var calls []rpctest.Call
			var caller string
			ft := runFake(func(ft testing.TB) {
				client, server := start(ft)
				caller = client.ID().String()
				server.Mock("Connector", rpctest.Methods{
					"Pin":    pinned,
					"Blocks": func(context.Context, <-chan int, chan<- int) error { return nil },
				})
				server.Mock("Other", rpctest.Methods{"Name": pinned})
				err = c.call(client, server)
				calls = server.Calls()
			})
			if caller == "" {
				caller = "this process"
			}
			if !ft.failed || ft.stopped || len(ft.errors) != 1 {
				t.Errorf("%s: failed %t, stopped %t: %q", c.what, ft.failed, ft.stopped, ft.errors)
			}
			says(t, ft.output(), append(c.says, "from: "+caller)...)
			if rpc.CodeOf(err) != c.code {
				t.Errorf("%s: the caller gets %v", c.what, err)
			}
			if len(calls) != 1 || !calls[0].Done || rpc.CodeOf(calls[0].Err) != c.code {
				t.Errorf("%s: recorded %v", c.what, calls)
			}
		}
	})
}

func TestUnexpectedCallOfAServerWithoutMocks(t *testing.T) {
	t.Parallel()
	ft := runFake(func(ft testing.TB) {
		client, _ := rpctest.Local(ft)
		var n int
		_ = client.Call("", "Connector", "Pin", strings.Repeat("long ", 1000), &n)
	})
	says(t, ft.output(), "unexpected call of Connector.Pin", "nothing is mocked", "long long", "...")
	if len(ft.output()) > 2000 {
		t.Errorf("the message is %d bytes long", len(ft.output()))
	}
}

func TestACallAfterTheTestsEndIsNoPanic(t *testing.T) {
	t.Parallel()
	var client *rpc.Client
	release := make(chan struct{})
	result := make(chan error, 1)
	ft := runFake(func(ft testing.TB) {
		var server *rpctest.Server
		client, server = rpctest.Local(ft)
		server.Mock("Connector", rpctest.Methods{"Pin": func(ctx context.Context, p Pin, _ *string) error {
			<-release // until the test is over
			panic("late")
		}})
		go func() {
			var where string
			result <- client.Call("", "Connector", "Pin", Pin{}, &where)
		}()
		server.Method("Connector", "Pin").Wait(1)
	})
	close(release)
	if err := <-result; rpc.CodeOf(err) != codes.Internal {
		t.Errorf("the late call: %v", err)
	}
	var n int
	if err := client.Call("", "Connector", "Unpin", Pin{}, &n); err == nil {
		t.Error("a server of a test that has ended takes calls")
	}
	if ft.Failed() || len(ft.late) > 0 {
		t.Errorf("failed %t: %s; told after its end: %q", ft.Failed(), ft.output(), ft.late)
	}
}

func TestMockRefusesWhatIsNoMethodAtOnce(t *testing.T) {
	t.Parallel()
	went := false
	ft := runFake(func(ft testing.TB) {
		_, server := rpctest.Local(ft)
		server.Mock("Connector", rpctest.Methods{
			"Good":      pinned,
			"Nil":       nil,
			"NilFunc":   (func(context.Context, int, *int) error)(nil),
			"NoFunc":    42,
			"Typed":     func(context.Context, int) (int, error) { return 0, nil },
			"NoPointer": func(context.Context, int, int) error { return nil },
			"Direction": func(context.Context, chan int, chan<- int) error { return nil },
		})
		went = true
	})
	if went || !ft.stopped || len(ft.errors) != 6 {
		t.Errorf("went on %t, stopped %t: %q", went, ft.stopped, ft.errors)
	}
	says(t, ft.output(),
		"Connector.Nil: it is nil, not a function", "Connector.NilFunc: it is a nil func(", "Connector.NoFunc: it is int, not a function",
		"Connector.Typed, a func(context.Context, int) (int, error): it takes 2 arguments, not 3",
		"Connector.NoPointer", "make it a *int", "Connector.Direction", "make it a <-chan int")

	ft = runFake(func(ft testing.TB) {
		_, server := rpctest.Local(ft)
		server.Mock("Connector", rpctest.Methods{"Pin": pinned})
		server.Mock("Connector", rpctest.Methods{"Pin": pinned})
	})
	says(t, ft.output(), "method already defined: Connector.Pin")
}

func TestPanicOfAMockedFunctionFailsTheTest(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(testing.TB, ...rpc.ServerOption) (*rpc.Client, *rpctest.Server)) {
		var unary, streaming error
		var calls []rpctest.Call
		ft := runFake(func(ft testing.TB) {
			client, server := start(ft)
			server.Mock("Connector", rpctest.Methods{
				"Pin":    func(context.Context, Pin, *string) error { panic("in Pin") },
				"Blocks": func(context.Context, <-chan int, chan<- int) error { panic("in Blocks") },
			})
			var where string
			unary = client.Call(server.ID(), "Connector", "Pin", Pin{}, &where)
			streaming = client.Stream(testContext(t), server.ID(), "Connector", "Blocks", make(chan int), make(chan int))
			calls = server.Calls()
		})
		if len(ft.errors) != 2 || ft.stopped {
			t.Fatalf("stopped %t: %q", ft.stopped, ft.errors)
		}
		says(t, ft.errors[0], "Connector.Pin panicked: in Pin", "server_test.go")
		says(t, ft.errors[1], "Connector.Blocks panicked: in Blocks", "server_test.go")
		for _, err := range []error{unary, streaming, calls[0].Err, calls[1].Err} {
			if rpc.CodeOf(err) != codes.Internal {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestTheUsersOwnOptionsAndReceiversStay(t *testing.T) {
	t.Parallel()
	var seen []string
	client, server := rpctest.Local(t, rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			err := next(ctx, call)
			seen = append(seen, fmt.Sprint(call.ID(), " ", err))
			if errors.Is(err, errDisk) {
				return errors.New("changed")
			}
			return err
		}
	}))
	if err := server.RegisterName("Real", real{}); err != nil {
		t.Fatal(err)
	}
	server.Mock("Real", rpctest.Methods{"Pin": pinned})
	server.Method("Real", "Double").Fail(1, errDisk)
	var n int
	if err := client.Call("", "Real", "Double", 4, &n); err == nil || err.Error() != "changed" {
		t.Errorf("Double: %v", err)
	}
	if err := client.Call("", "Real", "Double", 4, &n); err != nil || n != 8 {
		t.Errorf("Double: %d, %v", n, err)
	}
	if !slices.Equal(seen, []string{"Real.Double " + errDisk.Error(), "Real.Double <nil>"}) {
		t.Errorf("the user's interceptor saw %q", seen)
	}
	if calls := server.Calls(); len(calls) != 2 || calls[0].Err.Error() != "changed" || calls[1].Reply != 8 {
		t.Errorf("recorded %v", calls)
	}
}

func TestUnexpectedTypedCallsFailTheTest(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start starter) {
		ft := runFake(func(ft testing.TB) {
			client, server := start(ft)
			_, _ = triple.Call(context.Background(), client, server.ID(), 42)
		})
		says(t, ft.output(), "unexpected call of Typed.Triple", "nothing is mocked", "argument: 42")
	})
}

type real struct{}

func (real) Double(_ context.Context, n int, r *int) error {
	*r = 2 * n
	return nil
}

func TestCallsThatAreNotAllowedAreNotUnexpected(t *testing.T) {
	t.Parallel()
	client, server := rpctest.Pair(t, rpc.WithAuthorizeFunc(rpc.AuthorizeWithMap(nil)))
	var n int
	if err := client.Call(server.ID(), "Connector", "Pin", Pin{}, &n); !rpc.IsAuthorizationError(err) {
		t.Errorf("got %v", err)
	}
	if calls := server.Calls(); len(calls) != 0 {
		t.Errorf("recorded %v", calls)
	}
}

// A quorum that is reached cancels the calls that are left. A mock that such a call
// reaches half sent has seen nothing unexpected.
func TestCallsThatAQuorumCancelsFailNoTest(t *testing.T) {
	t.Parallel()
	read := rpc.NewMethod[string, int]("Store", "Read")
	hosts := rpctest.MemoryHosts(t, 6)
	var ids []peer.ID
	for _, h := range hosts[1:] {
		rpctest.HandleReply(rpctest.NewServer(t, h, "/p"), read, 1)
		ids = append(ids, h.ID())
	}
	client := rpc.NewClient(hosts[0], "/p")
	t.Cleanup(func() { _ = client.Close() })
	for range 300 {
		if _, err := read.CollectAll(t.Context(), client, ids, "x", fan.Quorum(2)); err != nil {
			t.Fatal(err)
		}
	}
}
