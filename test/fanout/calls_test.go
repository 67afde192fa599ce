package fanout_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// cluster is a client and servers of many peers, the client's own first.
type cluster struct {
	client  *rpc.Client
	own     host.Host
	hosts   []host.Host
	servers []*rpc.Server
	peers   []peer.ID
}

// newCluster returns one of n peers over a transport between processes.
func newCluster(t testing.TB, tr rig.Transport, n int, opts ...rpc.ServerOption) *cluster {
	t.Helper()
	c := &cluster{}
	for i := range n {
		h := rig.NewHost(t)
		s := rig.NewServer(t, h, opts...)
		c.hosts, c.servers, c.peers = append(c.hosts, h), append(c.servers, s), append(c.peers, h.ID())
		if i > 0 {
			rig.Connect(t, c.hosts[0], h)
		}
	}
	c.own = c.hosts[0]
	c.client = rig.ClientWithServer(t, c.own, c.servers[0], tr.Chosen...)
	return c
}

// dead adds a peer at which nobody listens.
func (c *cluster) dead(t testing.TB) peer.ID {
	p := coretest.RandPeerIDFatal(t)
	c.own.Peerstore().AddAddr(p, rig.ClosedPort(t.(*testing.T)), peerstore.PermanentAddrTTL)
	return p
}

// silent adds a peer to which the dial never ends.
func (c *cluster) silent(t testing.TB) peer.ID {
	p := coretest.RandPeerIDFatal(t)
	c.own.Peerstore().AddAddr(p, rig.BlackHole(t.(*testing.T)), peerstore.PermanentAddrTTL)
	return p
}

// serveAll makes every peer serve m by what f returns for it.
func serveAll[A, R any](t testing.TB, c *cluster, m *rpc.Method[A, R], f func(i int) func(context.Context, A) (R, error)) {
	t.Helper()
	for i, s := range c.servers {
		rig.MustHandle(t, s, m, f(i))
	}
}

var (
	which = rpc.NewMethod[int, int]("Svc", "Which")
	errN  = errors.New("an odd peer")
)

// whichOf replies the peer's number added to the argument; odd ones fail.
func whichOf(i int) func(context.Context, int) (int, error) {
	return func(_ context.Context, n int) (int, error) {
		if i%2 == 1 {
			return n + i, errN
		}
		return n + i, nil
	}
}

func TestCallAllYieldsEveryPeersResult(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 4)
		serveAll(t, c, which, whichOf)
		dead, silent := c.dead(t), c.silent(t)
		dests := slices.Concat(c.peers, []peer.ID{dead, silent, "", c.peers[2], dead})
		given := slices.Clone(dests)
		got := make(map[peer.ID]fan.Result[int])
		for p, r := range which.CallAll(rig.Context(t), c.client, dests, 10, rpc.CallTimeout(2*time.Second)) {
			if _, again := got[p]; again {
				t.Errorf("%v came twice", p)
			}
			got[p] = r
		}
		for i, p := range c.peers {
			r := got[p]
			if r.Value != 10+i || (r.Err == nil) != (i%2 == 0) || r.Err != nil && r.Err.Error() != errN.Error() {
				t.Errorf("peer %d: %+v", i, r)
			}
		}
		if len(got) != 6 || rpc.CodeOf(got[dead].Err) != codes.Unavailable || !errors.Is(got[silent].Err, context.DeadlineExceeded) {
			t.Errorf("%d results; of the dead %v, of the silent %v", len(got), got[dead].Err, got[silent].Err)
		}
		if !slices.Equal(dests, given) {
			t.Error("the caller's destinations are changed")
		}
	})
}

func TestCallAllOfTheLocalPeer(t *testing.T) {
	t.Parallel()
	s := rig.Local.Setup(t, rig.Options{})
	rig.MustHandle(t, s.Server, which, whichOf(0))
	n := 0
	for p, r := range which.CallAll(rig.Context(t), s.Client, []peer.ID{"", s.Dest, ""}, 10) {
		if n++; p != s.Dest || r.Err != nil || r.Value != 10 {
			t.Errorf("%v: %+v", p, r)
		}
	}
	if n != 1 {
		t.Errorf("%d results of one peer", n)
	}
}

func TestCallAllOfNobody(t *testing.T) {
	t.Parallel()
	s := rig.Local.Setup(t, rig.Options{})
	rig.MustHandle(t, s.Server, which, whichOf(0))
	for p := range which.CallAll(rig.Context(t), s.Client, nil, 1) {
		t.Errorf("%v answers", p)
	}
	if got, err := which.CollectAll(rig.Context(t), s.Client, nil, 1); err != nil || got.Values == nil || len(got.Values)+len(got.Errors) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := which.CollectAll(rig.Context(t), s.Client, nil, 1, fan.Quorum(1)); err == nil || !strings.Contains(err.Error(), "0 of 0") {
		t.Errorf("a quorum of nobody: %v", err)
	}
}

func TestCallAllYieldsResultsAsTheyArrive(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 4)
		release := make(chan struct{})
		serveAll(t, c, which, func(i int) func(context.Context, int) (int, error) {
			return func(ctx context.Context, n int) (int, error) {
				if i == 1 { // waits for the others to have been seen
					select {
					case <-release:
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				}
				return n + i, nil
			}
		})
		var order []peer.ID
		for p, r := range which.CallAll(rig.Context(t), c.client, []peer.ID{c.peers[1], c.peers[0], c.peers[3], c.peers[2]}, 10) {
			if r.Err != nil {
				t.Error(r.Err)
			}
			if order = append(order, p); len(order) == 3 {
				close(release)
			}
		}
		if len(order) != 4 || order[3] != c.peers[1] {
			t.Errorf("came as %v", order)
		}
	})
}

func TestCollectAll(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 4)
		serveAll(t, c, which, whichOf)
		dead := c.dead(t)
		got, err := which.CollectAll(rig.Context(t), c.client, append(c.peers, dead), 10)
		if want := map[peer.ID]int{c.peers[0]: 10, c.peers[2]: 12}; !maps.Equal(got.Values, want) {
			t.Errorf("values %v", got.Values)
		}
		if len(got.Errors) != 3 || got.Errors[dead] == nil || got.Errors[c.peers[1]] == nil || got.Errors[c.peers[3]] == nil {
			t.Errorf("errors %v", got.Errors)
		}
		if err == nil {
			t.Fatal("no error")
		}
		rig.CheckNames(t, err, "Svc.Which", "2 of 5 peers succeeded", c.peers[1].String(), c.peers[3].String(), dead.String(), errN.Error())
		for p, one := range got.Errors {
			if !errors.Is(err, one) {
				t.Errorf("%v is not in it", one)
			}
			if n := strings.Count(err.Error(), "peer "+p.String()); n != 1 {
				t.Errorf("names %v %d times: %v", p, n, err)
			}
		}
		// A method's own words say nothing of who said them.
		echo := rpc.NewMethod[string, int]("Svc", "Echo")
		serveAll(t, c, echo, func(int) func(context.Context, string) (int, error) {
			return func(_ context.Context, s string) (int, error) { return 0, errors.New(s) }
		})
		_, err = echo.CollectAll(rig.Context(t), c.client, c.peers[1:2], "ask peer "+c.peers[1].String())
		rig.CheckNames(t, err, ": peer "+c.peers[1].String()+": ask peer")
		// The library's own do, wherever in their texts.
		none := rpc.NewMethod[int, int]("Svc", "None")
		_, err = none.CollectAll(rig.Context(t), c.client, c.peers[1:2], 1)
		if err == nil || strings.Count(err.Error(), c.peers[1].String()) != 1 {
			t.Errorf("got %v", err)
		}
		if got, err := which.CollectAll(rig.Context(t), c.client, []peer.ID{c.peers[0], c.peers[2]}, 10); err != nil || len(got.Values) != 2 {
			t.Errorf("without a failure: %+v, %v", got, err)
		}
	})
}

func TestTextOfManyErrorsNamesSomePeers(t *testing.T) {
	t.Parallel()
	h := rig.NewHost(t)
	c := rig.Client(t, h)
	var dests []peer.ID
	for range 100 {
		dests = append(dests, coretest.RandPeerIDFatal(t))
	}
	got, err := which.CollectAll(rig.Context(t), c, dests, 1)
	if err == nil || len(got.Errors) != 100 {
		t.Fatalf("%d errors, %v", len(got.Errors), err)
	}
	if n := len(err.Error()); n > 16<<10 || !strings.Contains(err.Error(), "and 84 more") {
		t.Errorf("%d bytes: %v", n, err)
	}
}

func TestInFlightBoundsCallsAtOnce(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c, svc, begun := newCluster(t, tr, 5), rig.NewHolder(), new(atomic.Int64)
		hold := rpc.NewMethod[struct{}, struct{}]("Svc", "Hold")
		serveAll(t, c, hold, func(int) func(context.Context, struct{}) (struct{}, error) {
			return func(ctx context.Context, a struct{}) (r struct{}, err error) {
				begun.Add(1)
				return r, svc.Hold(ctx, a, &r)
			}
		})
		result := rig.InBackground(func() error {
			_, err := hold.CollectAll(rig.Context(t), c.client, c.peers, struct{}{}, fan.InFlight(2))
			return err
		})
		for range 2 {
			rig.Take(t, "a call begins", svc.Started)
		}
		rig.RestsBelow(t, "the others wait", begun, 3)
		for range c.peers {
			svc.Release <- struct{}{}
		}
		if err := rig.Take(t, "all end", result); err != nil || begun.Load() != 5 {
			t.Errorf("%d calls, %v", begun.Load(), err)
		}
	})
}

// counting counts how often it is encoded, in encodings by its number.
type counting struct{ n int64 }

var (
	encodings sync.Map
	countings atomic.Int64
)

func newCounting() (counting, *atomic.Int32) {
	c, n := counting{countings.Add(1)}, new(atomic.Int32)
	encodings.Store(c.n, n)
	return c, n
}

func (c counting) MarshalBinary() ([]byte, error) {
	if n, ok := encodings.Load(c.n); ok {
		n.(*atomic.Int32).Add(1)
	}
	return []byte{1}, nil
}

func (c *counting) UnmarshalBinary([]byte) error { return nil }

func TestArgumentIsEncodedOnceForAll(t *testing.T) {
	t.Parallel()
	takes := rpc.NewMethod[counting, int]("Svc", "Take")
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 4)
		serveAll(t, c, takes, func(i int) func(context.Context, counting) (int, error) {
			return func(context.Context, counting) (int, error) { return i, nil }
		})
		arg, encoded := newCounting()
		calls := takes.CallAll(rig.Context(t), c.client, c.peers, arg)
		for n := int32(1); n <= 2; n++ {
			for p, r := range calls { // and again by another loop
				if r.Err != nil {
					t.Errorf("%v: %v", p, r.Err)
				}
			}
			if encoded.Load() != n {
				t.Errorf("encoded %d times by %d loops", encoded.Load(), n)
			}
		}
		encoded.Store(0)
		for range takes.CallAll(rig.Context(t), c.client, c.peers[:1], arg) {
		}
		if encoded.Load() != 0 {
			t.Error("encoded for a local call")
		}

		_, replies := rig.ReplyPointers[int](len(c.peers))
		for i, err := range c.client.MultiCall(rig.Backgrounds(len(c.peers)), c.peers, "Svc", "Take", arg, replies) {
			if err != nil {
				t.Errorf("MultiCall, %d: %v", i, err)
			}
		}
		if n := encoded.Swap(0); n != 1 {
			t.Errorf("encoded %d times by MultiCall", n)
		}
		done := make(chan *rpc.Call, len(c.peers))
		dones := slices.Repeat([]chan *rpc.Call{done}, len(c.peers))
		if err := c.client.MultiGo(rig.Backgrounds(len(c.peers)), c.peers, "Svc", "Take", arg, replies, dones); err != nil {
			t.Fatal(err)
		}
		for range c.peers {
			if call := rig.Take(t, "a call is over", done); call.Error != nil {
				t.Errorf("MultiGo, %v: %v", call.Dest, call.Error)
			}
		}
		if n := encoded.Load(); n != 1 {
			t.Errorf("encoded %d times by MultiGo", n)
		}
	})
}

func TestOptionsHoldForThePeersCalls(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 3)
		left := rig.HoursLeft(rpc.CallTimeout(9 * time.Hour))
		serveAll(t, c, left, func(int) func(context.Context, struct{}) (int, error) { return rig.TellHours })
		f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
		f.Times.Store(1)
		try := rpc.NewMethod[int, int]("Svc", "Try", rpc.CallIdempotent(true))
		serveAll(t, c, try, func(int) func(context.Context, int) (int, error) { return f.Call })

		for want, opts := range map[int][]fan.Option{9: nil, 3: {rpc.CallTimeout(3 * time.Hour)}} {
			got, err := left.CollectAll(context.Background(), c.client, c.peers, struct{}{}, opts...)
			for p, hours := range got.Values {
				if hours != want {
					t.Errorf("%v has %d hours, not %d", p, hours, want)
				}
			}
			if err != nil || len(got.Values) != 3 {
				t.Errorf("%d values, %v", len(got.Values), err)
			}
		}
		if got, err := try.CollectAll(rig.Context(t), c.client, c.peers, 1, rig.Quickly(3)); err != nil || f.Calls.Load() != 4 {
			t.Errorf("%v, %v after %d calls", got, err, f.Calls.Load())
		}
	})
}
