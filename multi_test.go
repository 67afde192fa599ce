package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// replyPointers are a new T for each of n calls.
func replyPointers[T any](n int) (values []*T, replies []any) {
	for range n {
		v := new(T)
		values, replies = append(values, v), append(replies, v)
	}
	return values, replies
}

func TestMultiCallKeepsEachDestinationsReplyAndError(t *testing.T) {
	t.Parallel()
	// The client's own host, a peer that serves, one that refuses, one
	// without the service, one without the protocol, and one that is dead.
	own, serves, refuses, lacks, without := newHost(t), newHost(t), newHost(t), newHost(t), newHost(t)
	s := rpc.NewServer(own, testProtocol, quiet)
	c := rpc.NewClientWithServer(own, testProtocol, s)
	closeAfter(t, c, s)
	for h, opts := range map[host.Host][]rpc.ServerOption{
		serves: nil, lacks: nil,
		refuses: {rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false })},
	} {
		s := rpc.NewServer(h, testProtocol, append(opts, quiet)...)
		t.Cleanup(func() { _ = s.Close() })
		if h != lacks {
			if err := s.RegisterName("Svc", Arith{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.RegisterName("Svc", Arith{}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []host.Host{serves, refuses, lacks, without} {
		connect(t, own, h)
	}
	dead := coretest.RandPeerIDFatal(t)
	own.Peerstore().AddAddr(dead, closedPort(t), peerstore.PermanentAddrTTL)

	dests := []peer.ID{own.ID(), serves.ID(), refuses.ID(), "", lacks.ID(), without.ID(), dead, serves.ID()}
	codes := []rpc.Code{rpc.CodeOK, rpc.CodeOK, rpc.CodePermissionDenied, rpc.CodeOK, rpc.CodeUnimplemented,
		rpc.CodeUnimplemented, rpc.CodeUnavailable, rpc.CodeCanceled}
	ctxs := backgrounds(len(dests))
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	ctxs[len(ctxs)-1] = cancelled

	t.Run("MultiCall", func(t *testing.T) {
		values, replies := replyPointers[int](len(dests))
		errs := c.MultiCall(ctxs, dests, "Svc", "Multiply", Args{2, 3}, replies)
		for i, err := range errs {
			if rpc.CodeOf(err) != codes[i] || (err == nil) != (*values[i] == 6) {
				t.Errorf("%d: %d, %v", i, *values[i], err)
			}
		}
	})
	t.Run("MultiGo", func(t *testing.T) {
		values, replies := replyPointers[int](len(dests))
		dones := make([]chan *rpc.Call, len(dests))
		for i := range dones {
			dones[i] = make(chan *rpc.Call, 2)
		}
		if err := c.MultiGo(ctxs, dests, "Svc", "Multiply", Args{2, 3}, replies, dones); err != nil {
			t.Fatal(err)
		}
		for i, done := range dones {
			call := take(t, "a call is over", done)
			if rpc.CodeOf(call.Error) != codes[i] || (call.Error == nil) != (*values[i] == 6) || call.Dest != dests[i] || call.Args != any(Args{2, 3}) || call.Reply != replies[i] {
				t.Errorf("%d: %d, %+v", i, *values[i], call)
			}
		}
	})
	t.Run("MultiStream", func(t *testing.T) {
		dests, codes := dests[:7], codes[:7] // there is one context for all
		args, replies := make(chan Args), make(chan Quotient)
		sendAll(testContext(t), args, Args{7, 2}, Args{9, 3})
		got := collect(replies)
		errs := c.MultiStream(testContext(t), dests, "Svc", "Divides", args, replies)
		for i, err := range errs {
			if rpc.CodeOf(err) != codes[i] {
				t.Errorf("%d: %v", i, err)
			}
		}
		n := map[Quotient]int{}
		for _, q := range got() {
			n[q]++
		}
		if len(errs) != len(dests) || len(n) != 2 || n[Quotient{3, 1}] != 3 || n[Quotient{3, 0}] != 3 {
			t.Errorf("%d errors; replies %v", len(errs), n)
		}
	})
}

func TestNoDestinationsNoCalls(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		if errs := s.client.MultiCall(nil, nil, "Svc", "Multiply", Args{}, nil); len(errs) != 0 {
			t.Error(errs)
		}
		if err := s.client.MultiGo(nil, nil, "Svc", "Multiply", Args{}, nil, nil); err != nil {
			t.Error(err)
		}
		replies := make(chan Quotient)
		errs := take(t, "MultiStream returns", inBackground(func() []error {
			return s.client.MultiStream(testContext(t), nil, "Svc", "Divides", make(chan Args), replies)
		}))
		if _, open := take2(t, replies); open || len(errs) != 0 {
			t.Errorf("errors %v, or replies are open", errs)
		}
	})
}

func TestMultiCallWithAnArgumentThatCannotTravelFailsForEach(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		_, replies := replyPointers[int](3)
		for _, err := range s.client.MultiCall(backgrounds(3), slices.Repeat([]peer.ID{s.dest}, 3), "Svc", "Multiply", make(chan int), replies) {
			if rpc.CodeOf(err) != rpc.CodeInvalidArgument || !strings.Contains(err.Error(), "chan int") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// Not parallel: it counts goroutines.
func TestLiveDestinationsAnswerWhileManyDeadOnesHang(t *testing.T) {
	const all, alive = 1000, 10
	own := newHost(t, libp2p.ResourceManager(&network.NullResourceManager{}))
	c := newClientOf(t, own)
	hole, refused := blackHole(t), closedPort(t)
	dests := make([]peer.ID, all)
	for i := range dests {
		switch {
		case i%(all/alive) == 0:
			h := newHost(t)
			s := rpc.NewServer(h, testProtocol, quiet)
			t.Cleanup(func() { _ = s.Close() })
			if err := s.RegisterName("Svc", Arith{}); err != nil {
				t.Fatal(err)
			}
			connect(t, own, h)
			dests[i] = h.ID()
		case i%2 == 0:
			dests[i] = coretest.RandPeerIDFatal(t)
			own.Peerstore().AddAddr(dests[i], hole, peerstore.PermanentAddrTTL)
		default:
			dests[i] = coretest.RandPeerIDFatal(t)
			own.Peerstore().AddAddr(dests[i], refused, peerstore.PermanentAddrTTL)
		}
	}
	var warm int
	if err := c.Call(dests[0], "Svc", "Multiply", Args{1, 1}, &warm); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()

	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	ctxs := slices.Repeat([]context.Context{ctx}, all)
	values, replies := replyPointers[int](all)
	done := make(chan *rpc.Call, all)
	start := time.Now()
	if err := c.MultiGo(ctxs, dests, "Svc", "Multiply", Args{2, 3}, replies, slices.Repeat([]chan *rpc.Call{done}, all)); err != nil {
		t.Fatal(err)
	}
	failed := make(map[rpc.Code]int)
	answered := 0
	next := func() {
		call := take(t, "a call is over", done)
		i := slices.Index(dests, call.Dest)
		switch {
		case i%(all/alive) != 0:
			failed[rpc.CodeOf(call.Error)]++
		case call.Error != nil || *values[i] != 6:
			t.Errorf("a live destination: %d, %v", *values[i], call.Error)
			fallthrough
		default:
			answered++
		}
	}
	for answered < alive {
		next()
	}
	// A second, but on a machine that does other things beside. v0.6 took ten.
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the live ones took %v", took)
	}
	hanging := all - alive - failed[rpc.CodeUnavailable]
	if hanging == 0 {
		t.Error("no dead one hangs: nothing was tested")
	}
	cancel()
	for range all - alive - failed[rpc.CodeUnavailable] {
		next()
	}
	if n := failed[rpc.CodeUnavailable] + failed[rpc.CodeCanceled]; n != all-alive || failed[rpc.CodeCanceled] == 0 {
		t.Errorf("the dead ones ended with %v", failed)
	}
	noGoroutineStays(t)
	_ = c.Close()
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before+10 })
}

// uneven is slow for the first who calls, and quick for all others.
type uneven struct {
	calls   atomic.Int32
	release chan struct{}
	started chan struct{}
	ended   chan error // of the slow one
}

func newUneven() *uneven {
	return &uneven{release: make(chan struct{}), started: make(chan struct{}, 10), ended: make(chan error, 10)}
}

func (u *uneven) Count(ctx context.Context, in <-chan []byte, out chan<- int) error {
	slow := u.calls.Add(1) == 1
	u.started <- struct{}{}
	n := 0
	if slow {
		select {
		case <-u.release:
		case <-ctx.Done():
			u.ended <- ctx.Err()
			return ctx.Err()
		}
	}
	for range in {
		n++
	}
	out <- n
	return nil
}

func TestSlowDestinationHoldsUpTheOthersByTheBufferAndNoMore(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{-1, 50} {
		for _, tr := range transports {
			t.Run(fmt.Sprint(tr.name, "/", buffer), func(t *testing.T) {
				t.Parallel()
				const items, size = 300, 32 << 10
				svc := newUneven()
				s := tr.setup(t, options{client: []rpc.ClientOption{rpc.WithMultiStreamBufferSize(buffer)}})
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				ctx := testContext(t)
				args, replies := make(chan []byte), make(chan int)
				got := collect(replies)
				result := inBackground(func() []error {
					return s.client.MultiStream(ctx, []peer.ID{s.dest, s.dest}, "Svc", "Count", args, replies)
				})
				sent := feed(ctx, args, items, size)
				n := restsBelow(t, "the sender waits for the slow destination", sent, items)
				// In the process nothing else holds an item but the hands it
				// is in; on the wire the muxers' windows do.
				if most := int64(buffer + 3); n < int64(buffer) || tr.name == "local" && n > most {
					t.Errorf("%d items were taken, and the buffer has %d", n, buffer)
				}
				close(svc.release)
				if err := errors.Join(take(t, "MultiStream returns", result)...); err != nil {
					t.Error(err)
				}
				if counts := got(); !slices.Equal(counts, []int{items, items}) {
					t.Errorf("the destinations got %v items, not %d", counts, items)
				}
			})
		}
	}
}

func TestStallTimeoutGivesUpTheSlowDestinationOnly(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			const items, size = 300, 32 << 10
			svc := newUneven()
			s := tr.setup(t, options{client: []rpc.ClientOption{
				rpc.WithMultiStreamBufferSize(10), rpc.WithMultiStreamStallTimeout(2 * time.Second),
			}})
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			ctx := testContext(t)
			args, replies := make(chan []byte), make(chan int)
			got := collect(replies)
			result := inBackground(func() []error {
				return s.client.MultiStream(ctx, []peer.ID{s.dest, s.dest, s.dest}, "Svc", "Count", args, replies)
			})
			feed(ctx, args, items, size)
			if err := take(t, "the slow method is told", svc.ended); !errors.Is(err, context.Canceled) {
				t.Errorf("it got %v", err)
			}
			given := 0
			for _, err := range take(t, "MultiStream returns", result) {
				if err != nil {
					given++
					checkErr(t, err, rpc.ClientErr, rpc.CodeResourceExhausted, "Svc.Count", "WithMultiStreamStallTimeout")
				}
			}
			if counts := got(); given != 1 || !slices.Equal(counts, []int{items, items}) {
				t.Errorf("%d were given up; the others got %v items, not %d", given, counts, items)
			}
		})
	}
}

func TestMultiStreamReturnsWhenItsContextEndsThoughNobodyHelps(t *testing.T) {
	t.Parallel()
	overAll(t, new(streaming), options{}, func(t *testing.T, s setup) {
		ctx, cancel := context.WithCancel(testContext(t))
		replies := make(chan int)
		result := inBackground(func() []error {
			return s.client.MultiStream(ctx, []peer.ID{s.dest, s.dest}, "Svc", "Flood", make(chan int), replies)
		})
		if _, open := take2(t, replies); !open { // then nobody reads on
			t.Error("replies are closed")
		}
		cancel()
		errs := take(t, "MultiStream returns", result)
		for _, err := range errs {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if _, open := take2(t, replies); open || len(errs) != 2 {
			t.Errorf("errors %v, or replies are open", errs)
		}
	})
}

func TestMultiStreamReturnsWhenAllMethodsHaveThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	overAll(t, new(streaming), options{}, func(t *testing.T, s setup) {
		for method, code := range map[string]rpc.Code{
			"Fail": rpc.CodeAborted, "Nothing": rpc.CodeOK, "Missing": rpc.CodeUnimplemented, "Unary": rpc.CodeUnimplemented,
		} {
			replies := make(chan int)
			errs := take(t, method+": MultiStream returns", inBackground(func() []error {
				return s.client.MultiStream(testContext(t), []peer.ID{s.dest, s.dest}, "Svc", method, make(chan int), replies)
			}))
			for _, err := range errs {
				if rpc.CodeOf(err) != code {
					t.Errorf("%s: %v", method, err)
				}
			}
			if _, open := take2(t, replies); open || len(errs) != 2 {
				t.Errorf("%s: errors %v, or replies are open", method, errs)
			}
		}
	})
}
