package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestMultiCallKeepsEachDestinationsReplyAndError(t *testing.T) {
	t.Parallel()
	// The client's own host, a peer that serves, one that refuses, one
	// without the service, one without the protocol, and one that is dead.
	own, serves, refuses, lacks, without := rig.NewHost(t), rig.NewHost(t), rig.NewHost(t), rig.NewHost(t), rig.NewHost(t)
	s := rig.NewServer(t, own)
	c := rig.ClientWithServer(t, own, s)
	for h, opts := range map[host.Host][]rpc.ServerOption{
		serves: nil, lacks: nil,
		refuses: {rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false })},
	} {
		s := rig.NewServer(t, h, opts...)
		if h != lacks {
			if err := s.RegisterName("Svc", rig.Arith{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.RegisterName("Svc", rig.Arith{}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []host.Host{serves, refuses, lacks, without} {
		rig.Connect(t, own, h)
	}
	dead := coretest.RandPeerIDFatal(t)
	own.Peerstore().AddAddr(dead, rig.ClosedPort(t), peerstore.PermanentAddrTTL)

	dests := []peer.ID{own.ID(), serves.ID(), refuses.ID(), "", lacks.ID(), without.ID(), dead, serves.ID()}
	codes := []codes.Code{codes.OK, codes.OK, codes.PermissionDenied, codes.OK, codes.Unimplemented,
		codes.Unimplemented, codes.Unavailable, codes.Canceled}
	ctxs := rig.Backgrounds(len(dests))
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	ctxs[len(ctxs)-1] = cancelled

	t.Run("MultiCall", func(t *testing.T) {
		values, replies := rig.ReplyPointers[int](len(dests))
		errs := c.MultiCall(ctxs, dests, "Svc", "Multiply", rig.Args{A: 2, B: 3}, replies)
		for i, err := range errs {
			if rpc.CodeOf(err) != codes[i] || (err == nil) != (*values[i] == 6) {
				t.Errorf("%d: %d, %v", i, *values[i], err)
			}
		}
	})
	t.Run("MultiGo", func(t *testing.T) {
		values, replies := rig.ReplyPointers[int](len(dests))
		dones := make([]chan *rpc.Call, len(dests))
		for i := range dones {
			dones[i] = make(chan *rpc.Call, 2)
		}
		if err := c.MultiGo(ctxs, dests, "Svc", "Multiply", rig.Args{A: 2, B: 3}, replies, dones); err != nil {
			t.Fatal(err)
		}
		for i, done := range dones {
			call := rig.Take(t, "a call is over", done)
			if rpc.CodeOf(call.Error) != codes[i] || (call.Error == nil) != (*values[i] == 6) || call.Dest != dests[i] || call.Args != any(rig.Args{A: 2, B: 3}) || call.Reply != replies[i] {
				t.Errorf("%d: %d, %+v", i, *values[i], call)
			}
		}
	})
	t.Run("MultiStream", func(t *testing.T) {
		dests, codes := dests[:7], codes[:7] // there is one context for all
		args, replies := make(chan rig.Args), make(chan rig.Quotient)
		rig.SendAll(rig.Context(t), args, rig.Args{A: 7, B: 2}, rig.Args{A: 9, B: 3})
		got := rig.Collect(replies)
		errs := c.MultiStream(rig.Context(t), dests, "Svc", "Divides", args, replies)
		for i, err := range errs {
			if rpc.CodeOf(err) != codes[i] {
				t.Errorf("%d: %v", i, err)
			}
		}
		n := map[rig.Quotient]int{}
		for _, q := range got() {
			n[q]++
		}
		if len(errs) != len(dests) || len(n) != 2 || n[rig.Quotient{Quo: 3, Rem: 1}] != 3 || n[rig.Quotient{Quo: 3, Rem: 0}] != 3 {
			t.Errorf("%d errors; replies %v", len(errs), n)
		}
	})
}

func TestNoDestinationsNoCalls(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		if errs := s.Client.MultiCall(nil, nil, "Svc", "Multiply", rig.Args{}, nil); len(errs) != 0 {
			t.Error(errs)
		}
		if err := s.Client.MultiGo(nil, nil, "Svc", "Multiply", rig.Args{}, nil, nil); err != nil {
			t.Error(err)
		}
		replies := make(chan rig.Quotient)
		errs := rig.Take(t, "MultiStream returns", rig.InBackground(func() []error {
			return s.Client.MultiStream(rig.Context(t), nil, "Svc", "Divides", make(chan rig.Args), replies)
		}))
		if _, open := rig.Take2(t, replies); open || len(errs) != 0 {
			t.Errorf("errors %v, or replies are open", errs)
		}
	})
}

func TestMultiCallWithAnArgumentThatCannotTravelFailsForEach(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		_, replies := rig.ReplyPointers[int](3)
		for _, err := range s.Client.MultiCall(rig.Backgrounds(3), slices.Repeat([]peer.ID{s.Dest}, 3), "Svc", "Multiply", make(chan int), replies) {
			if rpc.CodeOf(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "chan int") {
				t.Errorf("got %v", err)
			}
		}
	})
}

// Not parallel: it counts goroutines.
func TestLiveDestinationsAnswerWhileManyDeadOnesHang(t *testing.T) {
	const all, alive = 1000, 10
	own := rig.NewHost(t, libp2p.ResourceManager(&network.NullResourceManager{}))
	c := rig.Client(t, own)
	hole, refused := rig.BlackHole(t), rig.ClosedPort(t)
	dests := make([]peer.ID, all)
	for i := range dests {
		switch {
		case i%(all/alive) == 0:
			h := rig.NewHost(t)
			rig.Serve(t, h, rig.Arith{})
			rig.Connect(t, own, h)
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
	if err := c.Call(dests[0], "Svc", "Multiply", rig.Args{A: 1, B: 1}, &warm); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()

	ctx, cancel := context.WithCancel(rig.Context(t))
	defer cancel()
	ctxs := slices.Repeat([]context.Context{ctx}, all)
	values, replies := rig.ReplyPointers[int](all)
	done := make(chan *rpc.Call, all)
	start := time.Now()
	if err := c.MultiGo(ctxs, dests, "Svc", "Multiply", rig.Args{A: 2, B: 3}, replies, slices.Repeat([]chan *rpc.Call{done}, all)); err != nil {
		t.Fatal(err)
	}
	failed := make(map[codes.Code]int)
	answered := 0
	next := func() {
		call := rig.Take(t, "a call is over", done)
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
	hanging := all - alive - failed[codes.Unavailable]
	if hanging == 0 {
		t.Error("no dead one hangs: nothing was tested")
	}
	cancel()
	for range all - alive - failed[codes.Unavailable] {
		next()
	}
	if n := failed[codes.Unavailable] + failed[codes.Canceled]; n != all-alive || failed[codes.Canceled] == 0 {
		t.Errorf("the dead ones ended with %v", failed)
	}
	rig.NoGoroutineStays(t)
	_ = c.Close()
	rig.Eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before+10 })
}

func TestSlowDestinationHoldsUpTheOthersByTheBufferAndNoMore(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{-1, 50} {
		for _, tr := range rig.Transports {
			t.Run(fmt.Sprint(tr.Name, "/", buffer), func(t *testing.T) {
				t.Parallel()
				const items, size = 300, 32 << 10
				svc := rig.NewUneven()
				s := tr.With(t, svc, rig.Options{Client: []rpc.ClientOption{rpc.WithMultiStreamBufferSize(buffer)}})
				ctx := rig.Context(t)
				args, replies := make(chan []byte), make(chan int)
				got := rig.Collect(replies)
				result := rig.InBackground(func() []error {
					return s.Client.MultiStream(ctx, []peer.ID{s.Dest, s.Dest}, "Svc", "Count", args, replies)
				})
				sent := rig.Feed(ctx, args, items, size)
				n := rig.RestsBelow(t, "the sender waits for the slow destination", sent, items)
				// In the process nothing else holds an item but the hands it
				// is in; on the wire the muxers' windows do.
				if most := int64(buffer + 3); n < int64(buffer) || tr.Name == "local" && n > most {
					t.Errorf("%d items were taken, and the buffer has %d", n, buffer)
				}
				close(svc.Release)
				if err := errors.Join(rig.Take(t, "MultiStream returns", result)...); err != nil {
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
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			const items, size = 300, 32 << 10
			svc := rig.NewUneven()
			s := tr.Setup(t, rig.Options{Client: []rpc.ClientOption{
				rpc.WithMultiStreamBufferSize(10), rpc.WithMultiStreamStallTimeout(2 * time.Second),
			}})
			if err := s.Server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			ctx := rig.Context(t)
			args, replies := make(chan []byte), make(chan int)
			got := rig.Collect(replies)
			result := rig.InBackground(func() []error {
				return s.Client.MultiStream(ctx, []peer.ID{s.Dest, s.Dest, s.Dest}, "Svc", "Count", args, replies)
			})
			rig.Feed(ctx, args, items, size)
			if err := rig.Take(t, "the slow method is told", svc.Ended); !errors.Is(err, context.Canceled) {
				t.Errorf("it got %v", err)
			}
			given := 0
			for _, err := range rig.Take(t, "MultiStream returns", result) {
				if err != nil {
					given++
					rig.CheckErr(t, err, rpc.ClientErr, codes.ResourceExhausted, "Svc.Count", "WithMultiStreamStallTimeout")
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
	rig.OverAll(t, new(rig.Streaming), rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx, cancel := context.WithCancel(rig.Context(t))
		replies := make(chan int)
		result := rig.InBackground(func() []error {
			return s.Client.MultiStream(ctx, []peer.ID{s.Dest, s.Dest}, "Svc", "Flood", make(chan int), replies)
		})
		if _, open := rig.Take2(t, replies); !open { // then nobody reads on
			t.Error("replies are closed")
		}
		cancel()
		errs := rig.Take(t, "MultiStream returns", result)
		for _, err := range errs {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if _, open := rig.Take2(t, replies); open || len(errs) != 2 {
			t.Errorf("errors %v, or replies are open", errs)
		}
	})
}

func TestMultiStreamReturnsWhenAllMethodsHaveThoughArgumentsStayOpen(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, new(rig.Streaming), rig.Options{}, func(t *testing.T, s rig.Setup) {
		for method, code := range map[string]codes.Code{
			"Fail": codes.Aborted, "Nothing": codes.OK, "Missing": codes.Unimplemented, "Unary": codes.Unimplemented,
		} {
			replies := make(chan int)
			errs := rig.Take(t, method+": MultiStream returns", rig.InBackground(func() []error {
				return s.Client.MultiStream(rig.Context(t), []peer.ID{s.Dest, s.Dest}, "Svc", method, make(chan int), replies)
			}))
			for _, err := range errs {
				if rpc.CodeOf(err) != code {
					t.Errorf("%s: %v", method, err)
				}
			}
			if _, open := rig.Take2(t, replies); open || len(errs) != 2 {
				t.Errorf("%s: errors %v, or replies are open", method, errs)
			}
		}
	})
}
