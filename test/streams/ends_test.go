package streams_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestRefusedStreamReturnsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.NewStreaming(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		for _, method := range []string{"Missing", "Unary"} {
			for what, args := range map[string]chan int{"silent": make(chan int), "sending": rig.Opened(ctx, 1)} {
				replies, err := rig.Stream(ctx, t, s, method, args, 0)
				rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, method)
				if len(replies) != 0 {
					t.Errorf("%s: replies %v", what, replies)
				}
			}
		}
	})
}

func TestUnauthorizedStreamReturnsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	s := rig.Wire.Setup(t, rig.Options{Server: []rpc.ServerOption{
		rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }),
	}})
	if err := s.Server.RegisterName("Svc", rig.NewStreaming()); err != nil {
		t.Fatal(err)
	}
	ctx := rig.Context(t)
	for _, args := range []chan int{make(chan int), rig.Opened(ctx, 1)} {
		for _, method := range []string{"Echo", "Missing"} {
			_, err := rig.Stream(ctx, t, s, method, args, 0)
			rig.CheckErr(t, err, rpc.AuthorizationErr, codes.PermissionDenied, "Svc."+method)
			if !rpc.IsAuthorizationError(err) {
				t.Error("IsAuthorizationError is false")
			}
		}
	}
}

func TestStreamOfAPeerWithoutTheProtocolReturnsThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.Setup{Client: rig.Client(t, a), Dest: b.ID()}
	_, err := rig.Stream(rig.Context(t), t, s, "Echo", make(chan int), 0)
	rig.CheckErr(t, err, rpc.ClientErr, codes.Unimplemented, "Svc.Echo")
}

func TestStreamReturnsWhenItsMethodDoesThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.NewStreaming(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		for method, code := range map[string]codes.Code{"Fail": codes.Aborted, "Nothing": codes.OK} {
			for _, args := range []chan int{make(chan int), rig.Opened(ctx, 1)} {
				replies, err := rig.Stream(ctx, t, s, method, args, 0)
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
			rig.OverAll(t, rig.NewStreaming(), rig.Options{Server: []rpc.ServerOption{rpc.WithStreamBufferSize(buffer)}}, func(t *testing.T, s rig.Setup) {
				for range 20 {
					replies, err := rig.Stream(rig.Context(t), t, s, "Three", make(chan int), 0)
					if err != nil || !slices.Equal(replies, []int{0, 1, 2}) {
						t.Fatalf("got %v, %v", replies, err)
					}
					replies, err = rig.Stream(rig.Context(t), t, s, "ThreeAndFail", make(chan int), 0)
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
	rig.OverAll(t, rig.NewStreaming(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, method := range []string{"CloseTwice", "SendAfterClose"} {
			replies, err := rig.Stream(rig.Context(t), t, s, method, make(chan int), 0)
			rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, "Svc."+method)
			if !slices.Equal(replies, []int{1}) {
				t.Errorf("%s: replies %v", method, replies)
			}
		}
		if replies, err := rig.Stream(rig.Context(t), t, s, "Three", make(chan int), 0); err != nil || len(replies) != 3 {
			t.Errorf("the next call: %v, %v", replies, err)
		}
	})
}

func TestCallerThatClosesItsRepliesGetsAnError(t *testing.T) {
	t.Parallel()
	svc := rig.NewStreaming()
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		args, replies := make(chan int), make(chan int)
		result := rig.InBackground(func() error { return s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Echo", args, replies) })
		args <- 1
		rig.Take(t, "a reply", replies)
		close(replies)
		args <- 2
		err := rig.Take(t, "Stream returns", result)
		rig.CheckErr(t, err, rpc.ClientErr, codes.FailedPrecondition, "Svc.Echo", "channel of replies was closed")
	})
}

func TestBadItemMidwayIsAnErrorThatSaysWhich(t *testing.T) {
	t.Parallel()
	s := rig.Wire.Setup(t, rig.Options{})
	if err := s.Server.RegisterName("Svc", rig.NewStreaming()); err != nil {
		t.Fatal(err)
	}
	items := func(all ...any) chan any { // and more may come
		args := make(chan any, len(all))
		for _, a := range all {
			args <- a
		}
		return args
	}
	replies, err := rig.Stream(rig.Context(t), t, s, "Echo", items(1, 2, "three", 4), 0)
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Echo", "argument 3", "int", "string")
	if !slices.Equal(replies, []int{1, 2}) {
		t.Errorf("replies %v", replies)
	}
	_, err = rig.Stream(rig.Context(t), t, s, "Echo", items(1, make(chan int), 3), 0)
	rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Echo", "argument 2", "chan int")

	numbers := make(chan int, 3)
	numbers <- 1
	_, err = rig.Stream(rig.Context(t), t, s, "Echo", numbers, "")
	rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Echo", "reply 1", "string")

	untyped, err := rig.Stream(rig.Context(t), t, s, "Untyped", make(chan int), any(nil))
	rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Untyped", "reply 3", "func")
	if len(untyped) != 2 {
		t.Errorf("replies %v", untyped)
	}
}

func TestStreamOfOtherTypesNamesThem(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.NewStreaming(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		texts := make(chan string, 1)
		texts <- "one"
		_, err := rig.Stream(rig.Context(t), t, s, "Echo", texts, 0)
		rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Echo", "takes int", "string")
		numbers := make(chan int, 1)
		numbers <- 1
		_, err = rig.Stream(rig.Context(t), t, s, "Echo", numbers, rig.Args{})
		if rpc.CodeOf(err) != codes.InvalidArgument || !rpc.IsRPCError(err) {
			t.Errorf("got %v", err)
		}
		rig.CheckErr(t, err, rig.ErrKind(err), codes.InvalidArgument, "Svc.Echo", "int", "rig.Args")
	})
}

func TestStreamReturnsWhenItsContextEndsThoughNobodyHelps(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			rig.OverAll(t, rig.NewStreaming(), rig.Options{}, func(t *testing.T, s rig.Setup) {
				ctx, cancel := context.WithCancel(rig.Context(t))
				if what == "deadline" {
					ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
				}
				defer cancel()
				replies := make(chan int)
				result := rig.InBackground(func() error {
					return s.Client.Stream(ctx, s.Dest, "Svc", "Flood", make(chan int), replies)
				})
				if _, open := rig.Take2(t, replies); !open { // then nobody reads on
					t.Error("replies are closed")
				}
				if what == "canceled" {
					cancel()
				}
				err := rig.Take(t, "Stream returns", result)
				if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
					t.Errorf("got %v", err)
				}
				if _, open := rig.Take2(t, replies); open {
					t.Error("replies are open")
				}
			})
		})
	}
}
