package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// streaming has streaming methods of every bad habit.
type streaming struct {
	sent   atomic.Int64  // replies of FloodBytes
	wanted atomic.Int64  // those of them that were sent before it was told to end
	ended  chan error    // how their contexts ended
	began  chan struct{} // one for each that began, if anybody asks
}

func newStreaming() *streaming {
	return &streaming{ended: make(chan error, 100), began: make(chan struct{}, 100)}
}

func (*streaming) Fail(context.Context, <-chan int, chan<- int) error {
	return &rpc.Error{Code: rpc.CodeAborted, Message: "failed"}
}

func (*streaming) Nothing(context.Context, <-chan int, chan<- int) error { return nil }

func (*streaming) Unary(context.Context, int, *int) error { return nil }

// Three sends, closes nothing and returns.
func (*streaming) Three(_ context.Context, _ <-chan int, out chan<- int) error {
	for i := range 3 {
		out <- i
	}
	return nil
}

func (s *streaming) ThreeAndFail(ctx context.Context, in <-chan int, out chan<- int) error {
	_ = s.Three(ctx, in, out)
	return errors.New("failed after three")
}

func (*streaming) CloseTwice(_ context.Context, _ <-chan int, out chan<- int) error {
	out <- 1
	close(out)
	close(out)
	return nil
}

func (*streaming) SendAfterClose(_ context.Context, _ <-chan int, out chan<- int) error {
	out <- 1
	close(out)
	out <- 2
	return nil
}

// Flood sends for ever, and heeds nothing but the end of its context, now and
// then.
func (s *streaming) Flood(ctx context.Context, _ <-chan int, out chan<- int) error {
	for ctx.Err() == nil {
		out <- 1
	}
	return ctx.Err()
}

// FloodBytes heeds nothing at all: it sends a number of replies of that many
// bytes.
func (s *streaming) FloodBytes(ctx context.Context, in <-chan [2]int, out chan<- []byte) error {
	n := <-in
	reply := make([]byte, n[1])
	for range n[0] {
		if ctx.Err() == nil {
			s.wanted.Add(1)
		}
		out <- reply
		s.sent.Add(1)
	}
	if s.ended != nil {
		s.ended <- ctx.Err()
	}
	return nil
}

// Idle takes no argument until its context has ended.
func (s *streaming) Idle(ctx context.Context, _ <-chan int, _ chan<- int) error {
	s.began <- struct{}{}
	<-ctx.Done()
	s.ended <- ctx.Err()
	return ctx.Err()
}

func (*streaming) Echo(_ context.Context, in <-chan int, out chan<- int) error {
	defer close(out)
	for n := range in {
		out <- n
	}
	return nil
}

// Untyped replies with what cannot be encoded third.
func (*streaming) Untyped(_ context.Context, _ <-chan int, out chan<- any) error {
	out <- 1
	out <- 2
	out <- func() {}
	return nil
}

// stream makes a streaming call that must end soon, with replies closed, and
// returns the replies beside the error.
func stream[A, R any](ctx context.Context, t testing.TB, s setup, method string, args chan A, _ R) ([]R, error) {
	t.Helper()
	replies := make(chan R)
	got := inBackground(collect(replies))
	err := take(t, method+": Stream returns", inBackground(func() error {
		return s.client.Stream(ctx, s.dest, "Svc", method, args, replies)
	}))
	return take(t, method+": replies are closed", got), err
}

// opened returns an open channel of arguments, on which a sender waits.
func opened[A any](ctx context.Context, item A) chan A {
	args := make(chan A)
	go func() {
		for {
			select {
			case args <- item:
			case <-ctx.Done():
				return
			}
		}
	}()
	return args
}

func TestRefusedStreamReturnsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	overAll(t, newStreaming(), options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		for _, method := range []string{"Missing", "Unary"} {
			for what, args := range map[string]chan int{"silent": make(chan int), "sending": opened(ctx, 1)} {
				replies, err := stream(ctx, t, s, method, args, 0)
				checkErr(t, err, rpc.ServerErr, rpc.CodeUnimplemented, method)
				if len(replies) != 0 {
					t.Errorf("%s: replies %v", what, replies)
				}
			}
		}
	})
}

func TestUnauthorizedStreamReturnsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	s := transports[1].setup(t, options{server: []rpc.ServerOption{
		rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }),
	}})
	if err := s.server.RegisterName("Svc", newStreaming()); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for _, args := range []chan int{make(chan int), opened(ctx, 1)} {
		for _, method := range []string{"Echo", "Missing"} {
			_, err := stream(ctx, t, s, method, args, 0)
			checkErr(t, err, rpc.AuthorizationErr, rpc.CodePermissionDenied, "Svc."+method)
			if !rpc.IsAuthorizationError(err) {
				t.Error("IsAuthorizationError is false")
			}
		}
	}
}

func TestStreamOfAPeerWithoutTheProtocolReturnsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	s := setup{client: newClientOf(t, a), dest: b.ID()}
	_, err := stream(testContext(t), t, s, "Echo", make(chan int), 0)
	checkErr(t, err, rpc.ClientErr, rpc.CodeUnimplemented, "Svc.Echo")
}

func TestStreamReturnsWhenItsMethodDoesThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	overAll(t, newStreaming(), options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		for method, code := range map[string]rpc.Code{"Fail": rpc.CodeAborted, "Nothing": rpc.CodeOK} {
			for _, args := range []chan int{make(chan int), opened(ctx, 1)} {
				replies, err := stream(ctx, t, s, method, args, 0)
				if rpc.CodeOf(err) != code || rpc.IsRPCError(err) || len(replies) != 0 {
					t.Errorf("%s: %v, %v", method, replies, err)
				}
			}
		}
	})
}

func TestMethodThatNeverClosesItsRepliesEndsThemByReturning(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{0, 1, 100} {
		t.Run(fmt.Sprint("buffer ", buffer), func(t *testing.T) {
			t.Parallel()
			overAll(t, newStreaming(), options{server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}}, func(t *testing.T, s setup) {
				for range 20 {
					replies, err := stream(testContext(t), t, s, "Three", make(chan int), 0)
					if err != nil || !slices.Equal(replies, []int{0, 1, 2}) {
						t.Fatalf("got %v, %v", replies, err)
					}
					replies, err = stream(testContext(t), t, s, "ThreeAndFail", make(chan int), 0)
					if err == nil || err.Error() != "failed after three" || !slices.Equal(replies, []int{0, 1, 2}) {
						t.Fatalf("beside an error: got %v, %v", replies, err)
					}
				}
			})
		})
	}
}

func TestMethodThatMisusesItsRepliesIsAnInternalError(t *testing.T) {
	t.Parallel()
	overAll(t, newStreaming(), options{}, func(t *testing.T, s setup) {
		for _, method := range []string{"CloseTwice", "SendAfterClose"} {
			replies, err := stream(testContext(t), t, s, method, make(chan int), 0)
			checkErr(t, err, rpc.ServerErr, rpc.CodeInternal, "Svc."+method)
			if !slices.Equal(replies, []int{1}) {
				t.Errorf("%s: replies %v", method, replies)
			}
		}
		if replies, err := stream(testContext(t), t, s, "Three", make(chan int), 0); err != nil || len(replies) != 3 {
			t.Errorf("the next call: %v, %v", replies, err)
		}
	})
}

func TestCallerThatClosesItsRepliesGetsAnError(t *testing.T) {
	t.Parallel()
	svc := newStreaming()
	overAll(t, svc, options{}, func(t *testing.T, s setup) {
		args, replies := make(chan int), make(chan int)
		result := inBackground(func() error { return s.client.Stream(testContext(t), s.dest, "Svc", "Echo", args, replies) })
		args <- 1
		<-replies
		close(replies)
		args <- 2
		err := take(t, "Stream returns", result)
		checkErr(t, err, rpc.ClientErr, rpc.CodeFailedPrecondition, "Svc.Echo", "channel of replies was closed")
	})
}

func TestBadItemMidwayIsAnErrorThatSaysWhich(t *testing.T) {
	t.Parallel()
	s := transports[1].setup(t, options{})
	if err := s.server.RegisterName("Svc", newStreaming()); err != nil {
		t.Fatal(err)
	}
	items := func(all ...any) chan any { // and more may come
		args := make(chan any, len(all))
		for _, a := range all {
			args <- a
		}
		return args
	}
	replies, err := stream(testContext(t), t, s, "Echo", items(1, 2, "three", 4), 0)
	checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.Echo", "argument 3", "int", "string")
	if !slices.Equal(replies, []int{1, 2}) {
		t.Errorf("replies %v", replies)
	}
	_, err = stream(testContext(t), t, s, "Echo", items(1, make(chan int), 3), 0)
	checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc.Echo", "argument 2", "chan int")

	numbers := make(chan int, 3)
	numbers <- 1
	_, err = stream(testContext(t), t, s, "Echo", numbers, "")
	checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc.Echo", "reply 1", "string")

	untyped, err := stream(testContext(t), t, s, "Untyped", make(chan int), any(nil))
	checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.Untyped", "reply 3", "func")
	if len(untyped) != 2 {
		t.Errorf("replies %v", untyped)
	}
}

func TestStreamOfOtherTypesNamesThem(t *testing.T) {
	t.Parallel()
	overAll(t, newStreaming(), options{}, func(t *testing.T, s setup) {
		texts := make(chan string, 1)
		texts <- "one"
		_, err := stream(testContext(t), t, s, "Echo", texts, 0)
		checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc.Echo", "takes int", "string")
		numbers := make(chan int, 1)
		numbers <- 1
		_, err = stream(testContext(t), t, s, "Echo", numbers, Args{})
		if rpc.CodeOf(err) != rpc.CodeInvalidArgument || !rpc.IsRPCError(err) {
			t.Errorf("got %v", err)
		}
		checkErr(t, err, errKind(err), rpc.CodeInvalidArgument, "Svc.Echo", "int", "rpc_test.Args")
	})
}

// errKind is for errors that may be of either side.
func errKind(err error) rpc.ErrorType {
	var e *rpc.Error
	if errors.As(err, &e) {
		return e.Type()
	}
	return rpc.NonRPCErr
}

func TestStreamReturnsWhenItsContextEndsThoughNobodyHelps(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			overAll(t, newStreaming(), options{}, func(t *testing.T, s setup) {
				ctx, cancel := context.WithCancel(testContext(t))
				if what == "deadline" {
					ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
				}
				defer cancel()
				replies := make(chan int)
				result := inBackground(func() error {
					return s.client.Stream(ctx, s.dest, "Svc", "Flood", make(chan int), replies)
				})
				if _, open := take2(t, replies); !open { // then nobody reads on
					t.Error("replies are closed")
				}
				if what == "canceled" {
					cancel()
				}
				err := take(t, "Stream returns", result)
				if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
					t.Errorf("got %v", err)
				}
				if _, open := take2(t, replies); open {
					t.Error("replies are open")
				}
			})
		})
	}
}

// Not parallel: it counts goroutines.
func TestStreamsLeaveNoGoroutine(t *testing.T) {
	for _, tr := range transports {
		svc := newStreaming()
		s := tr.setup(t, options{})
		if err := s.server.RegisterName("Svc", svc); err != nil {
			t.Fatal(err)
		}
		for what, f := range map[string]func(ctx context.Context, cancel func()){
			"nobody reads, nobody closes": func(ctx context.Context, cancel func()) {
				replies := make(chan int)
				result := inBackground(func() error {
					return s.client.Stream(ctx, s.dest, "Svc", "Flood", make(chan int), replies)
				})
				<-replies
				cancel()
				take(t, "Stream returns", result)
			},
			"nor of many": func(ctx context.Context, cancel func()) {
				replies := make(chan int)
				result := inBackground(func() []error {
					return s.client.MultiStream(ctx, []peer.ID{s.dest, s.dest, s.dest}, "Svc", "Flood", make(chan int), replies)
				})
				<-replies
				cancel()
				take(t, "MultiStream returns", result)
			},
			"the method heeds no context": func(ctx context.Context, cancel func()) {
				args, replies := make(chan [2]int, 1), make(chan []byte)
				args <- [2]int{5000, 1 << 10}
				result := inBackground(func() error {
					return s.client.Stream(ctx, s.dest, "Svc", "FloodBytes", args, replies)
				})
				<-replies
				cancel()
				take(t, "Stream returns", result)
				take(t, "the method ends", svc.ended)
			},
			"the method fails": func(ctx context.Context, _ func()) {
				_, _ = stream(ctx, t, s, "Fail", make(chan int), 0)
			},
			"the methods fail": func(ctx context.Context, _ func()) {
				s.client.MultiStream(ctx, []peer.ID{s.dest, s.dest}, "Svc", "Fail", make(chan int), make(chan int))
			},
			"refused": func(ctx context.Context, _ func()) {
				_, _ = stream(ctx, t, s, "Missing", make(chan int), 0)
			},
			"a bad argument": func(ctx context.Context, _ func()) {
				args := make(chan any, 3)
				args <- 1
				args <- "two"
				_, _ = stream(ctx, t, s, "Echo", args, 0)
			},
			"the method panics": func(ctx context.Context, _ func()) {
				_, _ = stream(ctx, t, s, "CloseTwice", make(chan int), 0)
			},
			"replies left in the method's channel": func(ctx context.Context, _ func()) {
				_, _ = stream(ctx, t, s, "Three", make(chan int), 0)
			},
		} {
			t.Run(tr.name+"/"+what, func(t *testing.T) {
				ctx, cancel := context.WithCancel(testContext(t))
				defer cancel()
				f(ctx, cancel)
				noGoroutineStays(t)
			})
		}
	}
}

// The caller may have closed its arguments, and the method may be waiting for
// it to take a reply: neither keeps the method from being told.
func TestCancelledStreamCancelsAMethodThatIsSendingReplies(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprint(tr.name, "/arguments open ", open), func(t *testing.T) {
				t.Parallel()
				svc := newStreaming()
				s := tr.setup(t, options{})
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				const n = 3000
				args, replies := make(chan [2]int, 1), make(chan []byte)
				args <- [2]int{n, 32 << 10}
				if !open {
					close(args)
				}
				ctx, cancel := context.WithCancel(testContext(t))
				result := inBackground(func() error { return s.client.Stream(ctx, s.dest, "Svc", "FloodBytes", args, replies) })
				<-replies
				restsBelow(t, "the method waits for its caller", &svc.sent, n)
				cancel()
				if err := take(t, "Stream returns", result); !errors.Is(err, context.Canceled) {
					t.Errorf("the caller got %v", err)
				}
				// It heeds no context: what it sends must go somewhere.
				if err := take(t, "the method ends", svc.ended); !errors.Is(err, context.Canceled) {
					t.Errorf("the method got %v", err)
				}
				if got := svc.sent.Load(); got != n {
					t.Errorf("the method sent %d of %d", got, n)
				}
			})
		}
	}
}

func TestMethodThatTakesNoArgumentsHoldsItsCallerUp(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		for _, buffer := range []int{0, 20} {
			t.Run(fmt.Sprint(tr.name, "/", buffer), func(t *testing.T) {
				t.Parallel()
				const items, size = 300, 32 << 10
				svc := newUneven()
				s := tr.setup(t, options{server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}})
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				ctx := testContext(t)
				args, replies := make(chan []byte), make(chan int, 1)
				result := inBackground(func() error { return s.client.Stream(ctx, s.dest, "Svc", "Count", args, replies) })
				n := restsBelow(t, "the sender waits", feed(ctx, args, items, size), items)
				if n < int64(buffer) || tr.name == "local" && n > int64(buffer)+2 {
					t.Errorf("%d items were taken, and the buffer has %d", n, buffer)
				}
				close(svc.release)
				if err := take(t, "Stream returns", result); err != nil {
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
	a, b := newHosts(t)
	svc := newStreaming()
	s := rpc.NewServer(b, testProtocol, quiet, rpc.WithServerLimits(rpc.Limits{ProgressTimeout: time.Second}))
	t.Cleanup(func() { _ = s.Close() })
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		st := rawStream(t, a, b, []protocol.ID{testProtocol, testProtocol + "/2"}[i%2])
		rawWrite(t, st, rpc.ServiceID{Name: "Svc", Method: "FloodBytes"}, [2]int{n, size})
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
		if err := take(t, "the method is told", svc.ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the method got %v", err)
		}
	}
	close(held)
	if n := svc.wanted.Load(); n > calls*20 { // the muxers have windows of at most 16 MiB
		t.Errorf("%d replies of %d MiB were taken for %d callers who read none", n, size>>20, calls)
	}
	if m := <-most; m > calls*3*size {
		t.Errorf("%d MiB were held for %d calls whose replies are %d MiB each", m>>20, calls, size>>20)
	}
}

// rawStream is a stream that the test writes itself.
func rawStream(t *testing.T, a, b interface {
	ID() peer.ID
	NewStream(context.Context, peer.ID, ...protocol.ID) (network.Stream, error)
}, p protocol.ID) network.Stream {
	t.Helper()
	st, err := a.NewStream(testContext(t), b.ID(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Reset() })
	return st
}

func rawWrite(t *testing.T, w io.Writer, values ...any) {
	t.Helper()
	var b bytes.Buffer
	for _, v := range values {
		if err := codec.NewEncoder(&b, new(codec.MsgpackHandle)).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
}

func TestStrayByteAfterAnArgumentDoesNotHideThatTheCallerGoes(t *testing.T) {
	t.Parallel()
	for _, p := range []protocol.ID{testProtocol, testProtocol + "/2"} {
		for what, goAway := range map[string]func(network.Stream) error{
			"closes":       network.Stream.Close,
			"closes write": network.Stream.CloseWrite,
			"resets":       network.Stream.Reset,
		} {
			for name, addr := range map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"} {
				t.Run(fmt.Sprint(p[1:], "/", name, "/", what), func(t *testing.T) {
					t.Parallel()
					a, b := newHostOn(t, addr), newHostOn(t, addr)
					connect(t, a, b)
					s := rpc.NewServer(b, testProtocol, quiet)
					t.Cleanup(func() { _ = s.Close() })
					svc := &blocker{make(chan struct{}), make(chan error, 1)}
					if err := s.RegisterName("Svc", svc); err != nil {
						t.Fatal(err)
					}
					st := rawStream(t, a, b, p)
					rawWrite(t, st, rpc.ServiceID{Name: "Svc", Method: "Block"}, struct{}{}, 1)
					take(t, "the method runs", svc.started)
					rawWrite(t, st, 1) // and one when it runs
					c := newClientOf(t, a)
					for range 3 { // behind it on the connection
						if err := c.Call(b.ID(), "Svc", "Missing", 1, new(int)); rpc.CodeOf(err) != rpc.CodeUnimplemented {
							t.Fatal(err)
						}
					}
					if len(svc.ended) != 0 {
						t.Fatal("the method is cancelled by a byte")
					}
					if err := goAway(st); err != nil {
						t.Fatal(err)
					}
					if err := take(t, "the method is told", svc.ended); !errors.Is(err, context.Canceled) {
						t.Errorf("it got %v", err)
					}
				})
			}
		}
	}
}
