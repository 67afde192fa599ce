package calls_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// A typed call of the same process goes another way than one by names, and is
// to be the same.
func TestLocalTypedCalls(t *testing.T) {
	t.Parallel()
	passing := func(next rpc.Handler) rpc.Handler { return next }
	for name, o := range map[string]rig.Options{
		"alone":              {},
		"client interceptor": {Client: []rpc.ClientOption{rpc.WithClientInterceptors(passing)}},
		"server interceptor": {Server: []rpc.ServerOption{rpc.WithServerInterceptors(passing)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := rig.LocalOnly(t, o)
			if err := s.RegisterName("Receiver", rig.Arith{}); err != nil {
				t.Fatal(err)
			}
			cancellable := rig.Context(t)
			for _, ctx := range []context.Context{context.Background(), cancellable} {
				checkLocalTyped(t, ctx, c, s)
			}
		})
	}
}

func checkLocalTyped(t *testing.T, ctx context.Context, c *rpc.Client, s *rpc.Server) {
	// Of a receiver: the argument and the reply need only fit.
	byValue := rpc.NewMethod[rig.Args, any]("Receiver", "Multiply")
	if product, err := byValue.Call(ctx, c, "", rig.Args{A: 6, B: 7}); err != nil || product != 42 {
		t.Errorf("a value for a pointer, and any: %v, %v", product, err)
	}
	byPointer := rpc.NewMethod[*rig.Args, rig.Quotient]("Receiver", "Divide")
	if q, err := byPointer.Call(ctx, c, "", &rig.Args{A: 7, B: 2}); err != nil || q != (rig.Quotient{Quo: 3, Rem: 1}) {
		t.Errorf("a pointer for a value: %v, %v", q, err)
	}
	_, err := byPointer.Call(ctx, c, "", nil)
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Receiver.Divide", "nil", "rig.Args")
	_, err = rpc.NewMethod[string, rig.Quotient]("Receiver", "Divide").Call(ctx, c, "", "seven")
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Receiver.Divide", "string")
	_, err = rpc.NewMethod[rig.Args, string]("Receiver", "Divide").Call(ctx, c, "", rig.Args{A: 7, B: 2})
	rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Receiver.Divide", "the string that is expected here")
	_, err = rpc.NewMethod[rig.Args, int]("Receiver", "Divides").Call(ctx, c, "", rig.Args{A: 7, B: 2})
	rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "Receiver.Divides", "streaming")
	_, err = rpc.NewMethod[rig.Args, int]("Receiver", "Missing").Call(ctx, c, "", rig.Args{A: 7, B: 2})
	rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "Missing")
	beside := rpc.NewMethod[int, int]("Receiver", "ReplyAndError")
	if n, err := beside.Call(ctx, c, "", 1); err == nil || n != 42 {
		t.Errorf("a reply beside an error: %d, %v", n, err)
	}

	// Typed at both ends. The method becomes there after it was looked for.
	service := "Background"
	if ctx.Done() != nil {
		service = "Cancellable"
	}
	same := rpc.NewMethod[*rig.Args, int](service, "Same")
	_, err = same.Call(ctx, c, "", &rig.Args{A: 6, B: 7})
	rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, service)
	given := &rig.Args{A: 6, B: 7}
	err = same.Handle(s, func(ctx context.Context, a *rig.Args) (int, error) {
		if a != given {
			return 1, errors.New("not the caller's own")
		}
		if sender, err := rpc.GetRequestSender(ctx); err != nil || sender != s.ID() {
			return 2, errors.New("another sender")
		}
		md, _ := rpc.MetadataFromContext(ctx)["key"]
		return a.A * a.B, errors.New(md)
	})
	if err != nil {
		t.Fatal(err)
	}
	with := rpc.ContextWithMetadata(ctx, rpc.Metadata{"key": "value"})
	if n, err := same.Call(with, c, "", given); n != 42 || err == nil || err.Error() != "value" {
		t.Errorf("beside an error: %d, %v", n, err)
	}
	_, err = same.Call(ctx, c, "", nil)
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "*rig.Args", "nil")

	bad := rpc.NewMethod[string, int](service, "Bad")
	err = bad.Handle(s, func(ctx context.Context, how string) (int, error) {
		switch how {
		case "nil error":
			var none *rpc.Error
			return 1, none
		case "goexit":
			runtime.Goexit()
		}
		panic(how)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := bad.Call(ctx, c, "", "nil error"); err != nil || n != 1 {
		t.Errorf("a nil *Error: %d, %v", n, err)
	}
	n, err := bad.Call(ctx, c, "", "panic")
	rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, service+".Bad", "panicked")
	if n != 0 {
		t.Errorf("a reply beside a panic: %d", n)
	}
	if ctx.Done() != nil {
		_, err = bad.Call(ctx, c, "", "goexit")
		rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, service+".Bad", "ended its goroutine")
	}
}

// The caller has gone when the method writes its reply.
func TestLocalTypedCallThatIsCancelledReturnsAtOnce(t *testing.T) {
	t.Parallel()
	c, s := rig.LocalOnly(t, rig.Options{})
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	slow := rpc.NewMethod[int, [4]int]("Svc", "Slow")
	err := slow.Handle(s, func(ctx context.Context, n int) ([4]int, error) {
		began <- struct{}{}
		<-release
		ended <- ctx.Err()
		return [4]int{n, n, n, n}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(rig.Context(t))
	type result struct {
		reply [4]int
		err   error
	}
	got := rig.InBackground(func() result {
		r, err := slow.Call(ctx, c, "", 7)
		return result{r, err}
	})
	rig.Take(t, "the method runs", began)
	cancel()
	if r := rig.Take(t, "Call returns", got); !errors.Is(r.err, context.Canceled) || r.reply != [4]int{} {
		t.Errorf("got %v", r)
	}
	close(release)
	if err := rig.Take(t, "the method ends", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the method got %v", err)
	}
}

func TestLocalTypedCallAfterTheEnd(t *testing.T) {
	t.Parallel()
	c, s := rig.LocalOnly(t, rig.Options{})
	if err := rig.DivideMethod.Handle(s, rig.HandleDivide); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := rig.DivideMethod.Call(ended, c, "", rig.Args{A: 7, B: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	_ = s.Close()
	_, err := rig.DivideMethod.Call(context.Background(), c, "", rig.Args{A: 7, B: 2})
	rig.CheckErr(t, err, rpc.ServerErr, codes.Unavailable, "Svc.Divide", "shutting down")
	_ = c.Close()
	_, err = rig.DivideMethod.Call(context.Background(), c, "", rig.Args{A: 7, B: 2})
	rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Divide", "closed")
	_, err = rig.DivideMethod.Call(context.Background(), rpc.NewClient(nil, ""), "", rig.Args{A: 7, B: 2})
	rig.CheckErr(t, err, rpc.ClientErr, codes.FailedPrecondition, "NewClientWithServer")
}

// One value may be used with several servers at once.
func TestLocalTypedCallFindsTheMethodOfItsOwnServer(t *testing.T) {
	t.Parallel()
	which := rpc.NewMethod[int, int]("Svc", "Which")
	var clients [3]*rpc.Client
	for i := range clients {
		c, s := rig.LocalOnly(t, rig.Options{})
		clients[i] = c
		if err := which.Handle(s, func(context.Context, int) (int, error) { return i, nil }); err != nil {
			t.Fatal(err)
		}
	}
	var wrong atomic.Int64
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range 1000 {
				if got, err := which.Call(context.Background(), clients[n%3], "", n); err != nil || got != n%3 {
					wrong.Add(1)
				}
			}
		}()
	}
	for range 4 {
		rig.Take(t, "the call ends", done)
	}
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d calls went to another server", n)
	}
}

// Not parallel: others allocate too.
func TestLocalTypedCallAllocatesOnce(t *testing.T) {
	c, s := rig.LocalOnly(t, rig.Options{})
	if err := rig.DivideMethod.Handle(s, rig.HandleDivide); err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if _, err := rig.DivideMethod.Call(context.Background(), c, "", rig.Args{A: 7, B: 2}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// The value of a method is mostly a package's variable, and its servers come
// and go.
func TestMethodDoesNotKeepTheServersItWasCalledAt(t *testing.T) {
	t.Parallel()
	m := rpc.NewMethod[int, int]("Svc", "Get")
	gone := make(chan struct{})
	func() {
		s := rpc.NewServer(nil, "", rig.Quiet)
		c := rpc.NewClientWithServer(nil, "", s)
		defer s.Close()
		defer c.Close()
		held := &[1 << 10]int{7: 42}
		runtime.AddCleanup(held, func(gone chan struct{}) { close(gone) }, gone)
		if err := m.Handle(s, func(_ context.Context, i int) (int, error) { return held[i], nil }); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if n, err := m.Call(context.Background(), c, "", 7); err != nil || n != 42 {
				t.Fatal(n, err)
			}
		}
	}()
	rig.Eventually(t, "what the server had is freed", func() bool {
		runtime.GC()
		select {
		case <-gone:
			return true
		default:
			return false
		}
	})
	runtime.KeepAlive(m)
}

// Where there is no peer to name, the method is: v0.6's words come first.
func TestErrorsWithoutAHostNameTheMethod(t *testing.T) {
	t.Parallel()
	c, s := rig.LocalOnly(t, rig.Options{})
	if err := s.RegisterName("Svc", rig.Arith{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ svc, method, want string }{
		{"None", "Get", "rpc: can't find service None (None.Get)"},
		{"Svc", "Get", "rpc: can't find method Get (Svc.Get)"},
		{"Svc", "Divide", "rpc: Svc.Divide: the method takes rig.Args, not int; pass a value of that type"},
		{"Svc", "ReplyAndError", "an error"},
	} {
		if err := c.Call("", test.svc, test.method, 1, new(int)); err == nil || err.Error() != test.want {
			t.Errorf("%s.%s: %v", test.svc, test.method, err)
		}
	}
}
