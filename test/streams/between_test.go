package streams_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// heldHost opens its second stream when hold has returned, if that is nil.
type heldHost struct {
	host.Host
	opened atomic.Int32
	hold   func(context.Context) error
}

func (h *heldHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if h.opened.Add(1) == 2 {
		if err := h.hold(ctx); err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx)
	}
	return h.Host.NewStream(ctx, p, ids...)
}

// betweenCalls are streaming calls that send 1, 2, 3 ... until they are over, or sent
// all, in every form. They return what was echoed.
var betweenCalls = map[string]func(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) ([]int, error){
	"Stream": func(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) ([]int, error) {
		args, replies := make(chan int), make(chan int)
		rig.SendAll(ctx, args, items...)
		all := rig.Collect(replies)
		err := c.Stream(ctx, dest, "Svc", "Echo", args, replies)
		return all(), err
	},
	"MultiStream": func(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) ([]int, error) {
		args, replies := make(chan int), make(chan int)
		rig.SendAll(ctx, args, items...)
		all := rig.Collect(replies)
		err := c.MultiStream(ctx, []peer.ID{dest}, "Svc", "Echo", args, replies)[0]
		return all(), err
	},
	"Duplex": func(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) ([]int, error) {
		call := echoes.Open(ctx, c, dest)
		defer call.Close()
		return sentAndReceived(ctx, items, call.Send, call.CloseSend, func() (got []int, err error) {
			for n, err := range call.All(ctx) {
				if err != nil {
					return got, err
				}
				got = append(got, n)
			}
			return got, nil
		})
	},
	"OpenAll": func(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) ([]int, error) {
		call := echoes.OpenAll(ctx, c, []peer.ID{dest})
		defer call.Close()
		return sentAndReceived(ctx, items, call.Send, call.CloseSend, func() (got []int, err error) {
			for _, r := range call.All(ctx) {
				if r.Err != nil {
					return got, r.Err
				}
				got = append(got, r.Value)
			}
			return got, ctx.Err()
		})
	},
	"ClientStream": func(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) ([]int, error) {
		call := collects.Open(ctx, c, dest)
		defer call.Close()
		for _, n := range items {
			if call.Send(ctx, n) != nil {
				break
			}
		}
		return call.Finish(ctx)
	},
}

var (
	echoes   = rpc.NewDuplex[int, int]("Typed", "Echo")
	collects = rpc.NewClientStream[int, []int]("Typed", "Collect")
)

func sentAndReceived(ctx context.Context, items []int, send func(context.Context, int) error, closeSend func() error, receive func() ([]int, error)) ([]int, error) {
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		defer closeSend()
		for _, n := range items {
			if send(ctx, n) != nil {
				return
			}
		}
	})
	return receive()
}

// serveEchoes serves what betweenCalls call.
func serveEchoes(t *testing.T, h host.Host) {
	t.Helper()
	s := rig.Serve(t, h, rig.NewStreaming())
	err := errors.Join(echoes.Handle(s, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
		for n, err := range in.All(ctx) {
			if err == nil {
				err = out.Send(ctx, n)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}), collects.Handle(s, func(ctx context.Context, in *rpc.Receiver[int]) (got []int, err error) {
		for n, err := range in.All(ctx) {
			if err != nil {
				return nil, err
			}
			got = append(got, n)
		}
		return got, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

func numbers(n int) []int {
	items := make([]int, n)
	for i := range items {
		items[i] = 1000 + i
	}
	return items
}

// A call whose session has gone, before the peer had looked at it, and that has no other
// yet ends as others do, with nothing left behind; or it goes on.
func TestCallsEndBetweenTwoSessions(t *testing.T) { // not parallel: it looks for goroutines
	refused := errors.New("refused here")
	for name, of := range map[string]struct {
		opts []rpc.CallOption
		then func(ctx context.Context, cancel func(), c *rpc.Client) error // while the next stream is opened
		code codes.Code
	}{
		"the context ends": {nil, func(ctx context.Context, cancel func(), _ *rpc.Client) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}, codes.Canceled},
		"the client is closed": {nil, func(ctx context.Context, _ func(), c *rpc.Client) error {
			_ = c.Close()
			<-ctx.Done()
			return ctx.Err()
		}, codes.Unavailable},
		"there is no way to the peer": {nil, func(context.Context, func(), *rpc.Client) error { return refused }, codes.Unavailable},
		"there is a way later": {[]rpc.CallOption{rpc.CallWait(true)}, func(context.Context, func(), *rpc.Client) error {
			return refused
		}, codes.OK},
		"there is a way": {nil, func(context.Context, func(), *rpc.Client) error { return nil }, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := rig.NewHosts(t)
			dest := rig.NewHost(t)
			rig.Connect(t, b, dest)
			serveEchoes(t, dest)
			for form, call := range betweenCalls {
				goAwayFirst(t, b, dest, 800)
				ctx, cancel := context.WithCancel(rig.Context(t))
				t.Cleanup(cancel)
				h := &heldHost{Host: a}
				c := rig.Client(t, h, rpc.WithCallOptions(of.opts...))
				h.hold = func(ctx context.Context) error { return of.then(ctx, cancel, c) }
				items := numbers(500)
				type result struct {
					got []int
					err error
				}
				r := rig.Take(t, fmt.Sprintf("%s ends", form), rig.InBackground(func() (r result) {
					r.got, r.err = call(ctx, c, b.ID(), items)
					return r
				}))
				if rpc.CodeOf(r.err) != of.code {
					t.Errorf("%s: got %v; want %v", form, r.err, of.code)
				}
				if of.code == codes.OK && !slices.Equal(r.got, items) {
					t.Errorf("%s: got %d of %d items: %v", form, len(r.got), len(items), r.got)
				}
				_ = c.Close()
			}
			rig.NoGoroutineStays(t)
		})
	}
}

// A Send that waits because its call has no session ends with its own context, and the
// call goes on.
func TestASendBetweenTwoSessionsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	dest := rig.NewHost(t)
	rig.Connect(t, b, dest)
	serveEchoes(t, dest)
	goAwayFirst(t, b, dest, 800)
	held, release := make(chan struct{}), make(chan struct{})
	h := &heldHost{Host: a, hold: func(context.Context) error {
		close(held)
		<-release
		return nil
	}}
	call := collects.Open(rig.Context(t), rig.Client(t, h), b.ID())
	defer call.Close()
	ctx, cancel := context.WithCancel(rig.Context(t))
	sent := rig.InBackground(func() (sent []int) {
		for n := 0; ; n++ {
			if err := call.Send(ctx, n); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Send returns %v", err)
				}
				return sent
			}
			sent = append(sent, n)
		}
	})
	rig.Take2(t, held)
	cancel()
	want := rig.Take(t, "Send ends", sent)
	close(release)
	if got, err := call.Finish(rig.Context(t)); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %d items, %v; want %d", len(got), err, len(want))
	}
}

// Unary calls that nobody waits for, and those of many peers, move as others do.
func TestUnaryCallsMoveInEveryForm(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	dest := rig.NewHost(t)
	rig.Connect(t, b, dest)
	rig.Serve(t, dest, new(rig.Arith))
	goAwayFirst(t, b, dest, 100)
	for range 30 {
		c := rig.Client(t, a)
		done := make(chan *rpc.Call, 8)
		for i := range cap(done) {
			_ = c.Go(b.ID(), "Svc", "Multiply", &rig.Args{A: i, B: 2}, new(int), done)
		}
		replies, to := rig.ReplyPointers[int](4)
		errs := c.MultiCall(rig.Backgrounds(4), slices.Repeat([]peer.ID{b.ID()}, 4), "Svc", "Multiply", &rig.Args{A: 3, B: 4}, to)
		for i, err := range errs {
			if err != nil || *replies[i] != 12 {
				t.Fatalf("got %d, %v", *replies[i], err)
			}
		}
		for range cap(done) {
			k := rig.Take(t, "a call ends", done)
			if n := *k.Reply.(*int); k.Error != nil || n != 2*k.Args.(*rig.Args).A {
				t.Fatalf("got %d of %v, %v", n, k.Args, k.Error)
			}
		}
		_ = c.Close()
	}
}

// Contexts that end at any time leave nothing behind of calls that move.
func TestContextsEndWhileCallsMove(t *testing.T) { // not parallel, too
	a, b := rig.NewHosts(t)
	dest := rig.NewHost(t)
	rig.Connect(t, b, dest)
	serveEchoes(t, dest)
	goAwayFirst(t, b, dest, 800)
	items := numbers(50)
	for round := range 60 {
		ctx, cancel := context.WithCancel(rig.Context(t))
		h := &endingHost{Host: a, after: int64(round % 20), cancel: cancel}
		c := rig.Client(t, h)
		results := make(chan error, len(betweenCalls))
		for form, call := range betweenCalls {
			go func() {
				got, err := call(ctx, c, b.ID(), items)
				switch {
				case err == nil && slices.Equal(got, items[:min(len(got), len(items))]) && ctx.Err() != nil:
					// The test stopped sending with the context, and the method was quicker.
				case err == nil && !slices.Equal(got, items):
					err = fmt.Errorf("%s: got %v", form, got)
				case errors.Is(err, context.Canceled):
					err = nil
				}
				results <- err
			}()
		}
		for range cap(results) {
			if err := rig.Take(t, "a call ends", results); err != nil {
				t.Error(err)
			}
		}
		cancel()
		_ = c.Close()
	}
	rig.NoGoroutineStays(t)
}

// endingHost cancels when its streams have read or written some times.
type endingHost struct {
	host.Host
	times  atomic.Int64
	after  int64
	cancel func()
}

func (h *endingHost) count() {
	if h.times.Add(1) == h.after {
		h.cancel()
	}
}

func (h *endingHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	h.count()
	st, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &endingStream{st, h}, nil
}

type endingStream struct {
	network.Stream
	of *endingHost
}

func (s *endingStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.of.count()
	return n, err
}

func (s *endingStream) Write(b []byte) (int, error) {
	s.of.count()
	return s.Stream.Write(b)
}

// A call whose context has ended between two sessions is not opened on the next, where its
// method would never end by itself.
func TestACallIsNotOpenedAfterItsContextHasEnded(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	dest := rig.NewHost(t)
	rig.Connect(t, b, dest)
	rig.Serve(t, dest, new(announcing))
	goAwayFirst(t, b, dest, 1)
	ctx, cancel := context.WithCancel(rig.Context(t))
	defer cancel()
	h := &heldHost{Host: a, hold: func(context.Context) error {
		aborted := make(chan struct{})
		context.AfterFunc(ctx, func() { close(aborted) })
		cancel()
		<-aborted
		return nil
	}}
	c := rig.Client(t, h)
	err := rig.Take(t, "the call ends", rig.InBackground(func() error {
		args := make(chan int)
		defer close(args)
		return c.Stream(ctx, b.ID(), "Svc", "Watch", args, make(chan int))
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
