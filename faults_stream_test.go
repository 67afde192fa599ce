package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

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
	for _, buffer := range []int{-1, 0, 1, 100} {
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
		take(t, "a reply", replies)
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
