package state_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/state"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// count returns how often something was counted.
func count(all []state.Count, name string) uint64 {
	for _, c := range all {
		if c.Name == name {
			return c.N
		}
	}
	return 0
}

func method(s state.Side, service, name string) state.Method {
	for _, m := range s.Methods {
		if m.Service == service && m.Method == name {
			return m
		}
	}
	return state.Method{}
}

func peerOf(s state.Side, id string) state.Peer {
	for _, p := range s.Peers {
		if p.ID == id {
			return p
		}
	}
	return state.Peer{}
}

// served waits until a server has counted n calls, which it does after the caller has
// its reply.
func served(t *testing.T, s *rpc.Server, n uint64) state.Server {
	t.Helper()
	var st state.Server
	rig.Eventually(t, fmt.Sprintf("%d calls are over", n), func() bool {
		st = s.State()
		return st.Total.Calls == n && st.UnderWay == 0
	})
	return st
}

func TestCallsAreCountedByMethodPeerAndCode(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
			rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "Block" }),
		}})
		var product int
		for range 3 {
			if err := s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, &product); err != nil {
				t.Fatal(err)
			}
		}
		for _, failing := range []struct {
			method string
			arg    any
		}{{"Divide", rig.Args{A: 1}}, {"Block", struct{}{}}, {"NoSuch", 1}, {"NoSuchEither", 1}, {"Divide", "no numbers"}} {
			if err := s.Client.Call(s.Dest, "Svc", failing.method, failing.arg, new(rig.Quotient)); err == nil {
				t.Fatalf("%s succeeded", failing.method)
			}
		}
		server := served(t, s.Server, 8)
		client := s.Client.State()
		for side, st := range map[string]state.Side{"server": server.Side, "client": client.Side} {
			if m := method(st, "Svc", "Multiply"); m.Calls != 3 || m.Failures() != 0 || m.Latency.Count() != 3 || m.Latency.Sum <= 0 {
				t.Errorf("%s: Multiply: %+v", side, m)
			}
			if m := method(st, "Svc", "Divide"); m.Calls != 2 || count(m.Failed, "Unknown") != 1 || count(m.Failed, "InvalidArgument") != 1 {
				t.Errorf("%s: Divide: %+v", side, m)
			}
			if got := count(st.Refused, state.Denied); got != 1 {
				t.Errorf("%s: %d denied, want 1", side, got)
			}
			if got := count(st.Refused, state.NoMethod); got != 2 {
				t.Errorf("%s: %d without a method, want 2", side, got)
			}
			if got := count(st.Refused, state.BadRequest); got != 1 {
				t.Errorf("%s: %d bad requests, want 1", side, got)
			}
			if got := count(st.Total.Failed, "PermissionDenied"); got != 1 {
				t.Errorf("%s: %d failed for it, want 1", side, got)
			}
			other := s.Dest
			if side == "server" {
				other = s.Sender
			}
			if p := peerOf(st, other.String()); p.Calls != 8 || p.Denied != 1 || p.Refused != 3 || p.Failures() != 5 {
				t.Errorf("%s: peer: %+v", side, p)
			}
			if st.Protocol != string(rig.Protocol) || st.Total.Calls != 8 || st.At.Before(st.Since) {
				t.Errorf("%s: %+v", side, st)
			}
		}
		// The names of methods that are not there are a stranger's.
		if m := method(server.Side, state.Other, ""); m.Calls != 2 {
			t.Errorf("other methods: %+v", m)
		}
		if len(server.Methods) != 4 { // Multiply, Divide, Block and other
			t.Errorf("the server lists %+v", server.Methods)
		}
	})
}

func TestCallsUnderWayAreShown(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		b := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 2)}
		s := tr.With(t, b, rig.Options{})
		ctx, cancel := context.WithCancel(rig.Context(t))
		defer cancel()
		unary := rig.InBackground(func() error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int)) })
		rig.Take(t, "the method runs", b.Started)
		args := make(chan int, 100)
		for i := range 100 {
			args <- i
		}
		stream := rig.InBackground(func() error { return s.Client.Stream(ctx, s.Dest, "Svc", "Wait", args, make(chan int)) })
		rig.Take(t, "the stream runs", b.Started)

		for side, state := range map[string]func() state.Side{
			"server": func() state.Side { return s.Server.State().Side },
			"client": func() state.Side { return s.Client.State().Side },
		} {
			st := state()
			rig.Eventually(t, "the first bytes of the stream have come, or gone", func() bool {
				st = state()
				return len(st.Calls) == 2 && st.Calls[1].In+st.Calls[1].Out > 0
			})
			if st.UnderWay != 2 || len(st.Calls) != 2 {
				t.Fatalf("%s: %d under way: %+v", side, st.UnderWay, st.Calls)
			}
			first, second := st.Calls[0], st.Calls[1]
			if first.Method != "Block" || first.Streaming || second.Method != "Wait" || !second.Streaming || first.Age < second.Age || second.Age <= 0 {
				t.Errorf("%s: %+v", side, st.Calls)
			}
			if side == "server" && (first.In == 0 || second.In == 0) || side == "client" && (first.Out == 0 || second.Out == 0) {
				t.Errorf("%s: no bytes: %+v", side, st.Calls)
			}
			if m := method(st, "Svc", "Wait"); m.UnderWay != 1 {
				t.Errorf("%s: %+v", side, m)
			}
			calls, links := 0, 0
			for _, l := range st.Links {
				calls, links = calls+l.UnderWay, links+l.Count
				if l.Transport != "tcp" || l.Relayed || l.Session != (tr.Name == "session") || l.In == 0 && l.Out == 0 || l.Age <= 0 {
					t.Errorf("%s: %+v", side, l)
				}
			}
			if want := map[string]int{"wire": 2, "session": 1}[tr.Name]; calls != 2 || links != want {
				t.Errorf("%s: %d calls on %d streams, want 2 on %d: %+v", side, calls, links, want, st.Links)
			}
		}
		if p := s.Server.State().Places; p.Used != 2 || p.Most != 16384 || p.PerPeer != 1024 {
			t.Errorf("places: %+v", p)
		}
		cancel()
		if err := rig.Take(t, "the call ends", unary); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		rig.Take(t, "the stream ends", stream)
		served(t, s.Server, 2)
		if st := s.Client.State(); st.UnderWay != 0 || count(st.Total.Failed, "Canceled") != 2 {
			t.Errorf("client: %+v", st)
		}
		if d := s.Client.State().Draining; d != 1 { // the arguments channel is open
			t.Errorf("%d channels are drained, want 1", d)
		}
		close(args)
		rig.Eventually(t, "nothing is drained", func() bool { return s.Client.State().Draining == 0 })
	})
}

func TestPlacesThatAreFullAreRefused(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		b := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 2)}
		s := tr.With(t, b, rig.Options{Server: []rpc.ServerOption{
			rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc"}, rpc.MethodConfig{CallsPerPeer: 1}),
		}})
		ctx, cancel := context.WithCancel(rig.Context(t))
		call := func() error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int)) }
		first := rig.InBackground(call)
		rig.Take(t, "the method runs", b.Started)
		if err := call(); err == nil {
			t.Error("a second call was served")
		}
		for side, st := range map[string]state.Side{"server": s.Server.State().Side, "client": s.Client.State().Side} {
			if got := count(st.Refused, "MethodConfig.CallsPerPeer"); got != 1 {
				t.Errorf("%s: %+v", side, st.Refused)
			}
		}
		cancel()
		rig.Take(t, "the call ends", first)
	})
}

func TestAWaitForAConnectionIsShown(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHost(t), rig.NewHost(t)
	rig.Know(a, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	c := rig.Client(t, a)
	ctx, cancel := context.WithCancel(rig.Context(t))
	wait := rpc.NewMethod[int, int]("Svc", "Wait", rpc.CallWait(true))
	done := rig.InBackground(func() error { _, err := wait.Call(ctx, c, b.ID(), 1); return err })
	var st state.Client
	rig.Eventually(t, "it has dialed again", func() bool { st = c.State(); return st.Redials > 1 })
	rig.Eventually(t, "it is shown to be connecting", func() bool {
		st = c.State()
		return len(st.Calls) == 1 && st.Calls[0].Phase == state.Connecting
	})
	cancel()
	rig.Take(t, "the call ends", done)
	if st := c.State(); peerOf(st.Side, b.ID().String()).Calls != 1 {
		t.Errorf("%+v", st.Peers)
	}
}

func TestRetriesAreCountedOnceACall(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{})
		u := &rig.Unsteady{Err: rpc.Errorf(14, "not now")}
		u.Times.Store(2)
		m := u.Method(t, s.Server, rig.Quickly(5), rpc.CallIdempotent(true))
		if _, err := m.Call(rig.Context(t), s.Client, s.Dest, 1); err != nil {
			t.Fatal(err)
		}
		st := s.Client.State()
		if st.Retries != 2 || st.Total.Calls != 1 || st.Total.Failures() != 0 {
			t.Errorf("%d retries, %+v", st.Retries, st.Total)
		}
		if got := served(t, s.Server, 3); count(got.Total.Failed, "Unavailable") != 2 {
			t.Errorf("server: %+v", got.Total)
		}
	})
}

func TestLocalCallsAreCountedIfAskedFor(t *testing.T) {
	for _, asked := range []bool{false, true} {
		s := rig.Local.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{rpc.WithLocalCallsCounted(asked)}})
		_ = s.Client.Call("", "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int))
		_ = s.Client.Call("", "Svc", "Divide", rig.Args{}, new(rig.Quotient))
		_, _ = rig.MultiplyMethod.Call(rig.Context(t), s.Client, "", &rig.Args{A: 1, B: 1})
		st := s.Server.State()
		if st.Total.Calls != 0 || len(st.Methods) != 0 || s.Client.State().Total.Calls != 0 {
			t.Errorf("local calls are among the others: %+v", st)
		}
		if !asked && st.Local != nil || asked && (st.Local == nil || st.Local.Calls != 3 || count(st.Local.Failed, "Unknown") != 1) {
			t.Errorf("asked: %v, counted: %+v", asked, st.Local)
		}
	}
}

func TestRelayedLinksAreShownAsSuch(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	s := rig.Serve(t, b, &rig.Arith{})
	c := rig.Client(t, a)
	ctx := network.WithAllowLimitedConn(rig.Context(t), "test")
	if err := c.CallContext(ctx, b.ID(), "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int)); err != nil {
		t.Fatal(err)
	}
	for side, st := range map[string]state.Side{"server": s.State().Side, "client": c.State().Side} {
		if len(st.Links) != 1 || !st.Links[0].Relayed {
			t.Errorf("%s: %+v", side, st.Links)
		}
	}
}

func TestAStateOfAServerThatStops(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		b := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 2)}
		s := tr.With(t, b, rig.Options{})
		ctx, cancel := context.WithCancel(rig.Context(t))
		first := rig.InBackground(func() error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int)) })
		rig.Take(t, "the method runs", b.Started)
		down := rig.InBackground(func() error { return s.Server.Shutdown(rig.Context(t)) })
		rig.Eventually(t, "it says so", func() bool { return s.Server.State().ShuttingDown })
		cancel()
		rig.Take(t, "the call ends", first)
		if err := rig.Take(t, "the server is down", down); err != nil {
			t.Fatal(err)
		}
		if st := s.Server.State(); len(st.Links) != 0 || st.UnderWay != 0 || st.Memory != (state.Memory{}) {
			t.Errorf("%+v", st)
		}
	})
}

func TestStatesWhileCallsAreMade(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, rig.Arith{}, rig.Options{})
		var over atomic.Bool
		looked := rig.InBackground(func() (n int) {
			for !over.Load() {
				if _, err := json.Marshal(s.Server.State()); err != nil {
					t.Error(err)
				}
				if _, err := json.Marshal(s.Client.State()); err != nil {
					t.Error(err)
				}
				n++
			}
			return n
		})
		for range 10 {
			var calls []<-chan error
			for range 20 {
				calls = append(calls, rig.InBackground(func() error {
					return s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{A: 6, B: 7}, new(int))
				}))
			}
			for _, c := range calls {
				if err := rig.Take(t, "a call ends", c); err != nil {
					t.Fatal(err)
				}
			}
		}
		over.Store(true)
		if rig.Take(t, "the looking ends", looked) == 0 {
			t.Error("nobody has looked")
		}
		served(t, s.Server, 200)
	})
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var l state.Latency
	if l.Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
	l.Buckets = []state.Bucket{{From: 0, To: 10, N: 5}, {From: 20, To: 40, N: 5}}
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 10, 0.75: 30, 1: 40} {
		if got := l.Quantile(q); got != want {
			t.Errorf("quantile %v: %d, want %d", q, got, want)
		}
	}
	more := l.Plus(state.Latency{Sum: 7, Buckets: []state.Bucket{{From: 10, To: 20, N: 1}, {From: 20, To: 40, N: 2}}})
	if more.Count() != 13 || len(more.Buckets) != 3 || more.Buckets[2].N != 7 {
		t.Errorf("sum: %+v", more)
	}
	if since := more.Since(l); since.Count() != 3 || since.Sum != 7 || len(since.Buckets) != 2 {
		t.Errorf("difference: %+v", since)
	}
}
