package sessions_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	coretest "github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestCallsShareASession(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, rig.Arith{})
	c, other := rig.Client(t, a), rig.Client(t, a)
	rig.MultipliesAlways(t, c, b)
	rig.Eventually(t, "one session, and no other stream", func() bool {
		return rig.SessionsAt(b) == 1 && rig.Streams(b) == 1
	})
	rig.MultipliesAlways(t, other, b)
	rig.Eventually(t, "two sessions of two clients", func() bool { return rig.SessionsAt(b) == 2 })
	_ = c.Close()
	_ = other.Close()
	rig.Released(t, a, b)
}

// Where either side has no sessions every call has a stream, and works.
func TestSessionsCanBeTurnedOff(t *testing.T) {
	t.Parallel()
	for what, on := range map[string]struct{ client, server bool }{
		"at the client": {false, true}, "at the server": {true, false}, "at both": {false, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			rig.Serve(t, b, rig.Arith{}, rpc.WithServerSessions(on.server))
			c := rig.Client(t, a, rpc.WithClientSessions(on.client))
			rig.MultipliesAlways(t, c, b)
			if n := rig.SessionsAt(b); n != 0 {
				t.Errorf("%d sessions", n)
			}
			rig.Released(t, a, b) // though the client is open
		})
	}
}

// A peer that had sessions comes back without, as another version of this
// library or as v0.6, and after that with sessions again: no call fails.
func TestRestartedPeerWithoutSessions(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"sessions turned off", "v0.6"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			rig.Serve(t, b, rig.Arith{})
			c := rig.Client(t, a)
			rig.MultipliesAlways(t, c, b)
			b = rig.Restart(t, a, b)
			if what == "v0.6" {
				rig.MultiplyAsV06(b)
			} else {
				rig.Serve(t, b, rig.Arith{}, rpc.WithServerSessions(false))
			}
			rig.MultipliesAlways(t, c, b)
			if n := rig.SessionsAt(b); n != 0 {
				t.Errorf("%d sessions", n)
			}
			b = rig.Restart(t, a, b)
			rig.Serve(t, b, rig.Arith{})
			rig.MultipliesAlways(t, c, b)
			rig.Eventually(t, "there is a session again", func() bool {
				rig.Multiplies(t, c, b.ID())
				return rig.SessionsAt(b) == 1
			})
		})
	}
}

// libp2p takes a peer for one with sessions that has none: its requests are
// turned down while they are on the way, and made otherwise.
func TestPeerThatIsWronglyTakenForOneWithSessions(t *testing.T) {
	t.Parallel()
	for mux, addr := range rig.Muxers {
		for _, what := range []string{"this library", "v0.6"} {
			t.Run(mux+"/"+what, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostsOn(t, addr)
				known := rig.Sessions
				if what == "v0.6" {
					rig.MultiplyAsV06(b)
				} else {
					rig.Serve(t, b, rig.Arith{}, rpc.WithServerSessions(false))
				}
				rig.Eventually(t, "the peers know each other's protocols", func() bool {
					known, err := a.Peerstore().SupportsProtocols(b.ID(), rig.Protocol)
					return err == nil && len(known) == 1
				})
				c := rig.Client(t, a)
				for range 5 {
					if err := a.Peerstore().AddProtocols(b.ID(), known); err != nil {
						t.Fatal(err)
					}
					rig.MultipliesAlways(t, c, b)
				}
				_ = c.Close()
				rig.Released(t, a, b)
			})
		}
	}
}

// The server stops while calls are made, and another takes its place that has
// no sessions: what fails is what may have been served, and nothing later.
func TestServerThatIsReplacedByOneWithoutSessions(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.Serve(t, b, rig.Arith{})
	c := rig.Client(t, a)
	rig.MultipliesAlways(t, c, b)
	if err := s.Shutdown(rig.Context(t)); err != nil {
		t.Fatal(err)
	}
	rig.Serve(t, b, rig.Arith{}, rpc.WithServerSessions(false))
	rig.MultipliesAlways(t, c, b)
}

// A session goes on over a relay only until there is a direct connection.
func TestSessionMovesFromARelayToADirectConnection(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	rig.Serve(t, b, rig.Arith{})
	c := rig.Client(t, a)
	allowed := network.WithAllowLimitedConn(rig.Context(t), "test")
	call := func(ctx context.Context) {
		t.Helper()
		var n int
		if err := c.CallContext(ctx, b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	call(allowed)
	if n := rig.SessionsAt(b); n != 1 {
		t.Fatalf("%d sessions over the relay", n)
	}
	// A caller that has not allowed it does not get it, though it is there.
	short, cancel := context.WithTimeout(rig.Context(t), rig.Lonely)
	defer cancel()
	if err := c.CallContext(short, b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int)); err == nil {
		t.Error("a call over a relay that was not allowed")
	}
	direct(t, a, b)
	for range 3 {
		call(rig.Context(t))
	}
	rig.Eventually(t, "one session, on the direct connection", func() bool {
		var limited, unlimited int
		for _, conn := range a.Network().ConnsToPeer(b.ID()) {
			for _, st := range conn.GetStreams() {
				if st.Protocol() != rig.Sessions {
					continue
				}
				if conn.Stat().Limited {
					limited++
				} else {
					unlimited++
				}
			}
		}
		return limited == 0 && unlimited == 1
	})
}

// direct connects hosts that have a relayed connection.
func direct(t *testing.T, a, b host.Host) {
	t.Helper()
	if err := b.Network().Listen(multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	ctx := network.WithForceDirectDial(rig.Context(t), "test")
	if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Network().ListenAddresses()}); err != nil {
		t.Fatal(err)
	}
	if a.Network().Connectedness(b.ID()) != network.Connected {
		t.Fatal("there is no direct connection")
	}
}

// dialsTogether keeps each host's first dial back until the other's has begun: then
// neither finds a connection that is there already.
type dialsTogether struct {
	begun *sync.WaitGroup
	once  sync.Once
}

func (d *dialsTogether) InterceptPeerDial(peer.ID) bool { return true }

func (d *dialsTogether) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool {
	d.once.Do(func() {
		d.begun.Done()
		d.begun.Wait()
	})
	return true
}

func (d *dialsTogether) InterceptAccept(network.ConnMultiaddrs) bool { return true }

func (d *dialsTogether) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

func (d *dialsTogether) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	return true, 0
}

// twiceConnected returns two hosts with two connections: both have dialled.
func twiceConnected(t *testing.T) (a, b host.Host) {
	t.Helper()
	var begun, dialled sync.WaitGroup
	begun.Add(2)
	// Of one transport they could meet halfway, and be one.
	a = rig.NewHostOn(t, rig.Muxers["tcp"], libp2p.ConnectionGater(&dialsTogether{begun: &begun}))
	b = rig.NewHostOn(t, rig.Muxers["quic"], libp2p.ConnectionGater(&dialsTogether{begun: &begun}))
	rig.Know(a, b)
	rig.Know(b, a)
	for _, d := range [][2]host.Host{{a, b}, {b, a}} {
		dialled.Go(func() {
			if _, err := d[0].Network().DialPeer(rig.Context(t), d[1].ID()); err != nil {
				t.Error(err)
			}
		})
	}
	dialled.Wait()
	rig.Eventually(t, "two connections", func() bool {
		return len(a.Network().ConnsToPeer(b.ID())) > 1 && len(b.Network().ConnsToPeer(a.ID())) > 1
	})
	return a, b
}

// With several connections a session is on one of them; when that goes the next
// call is made on another.
func TestSessionFollowsTheConnectionsThatAreLeft(t *testing.T) {
	t.Parallel()
	a, b := twiceConnected(t)
	rig.Serve(t, b, rig.Arith{})
	c := rig.Client(t, a)
	rig.MultipliesAlways(t, c, b)
	var on network.Conn
	for _, conn := range a.Network().ConnsToPeer(b.ID()) {
		for _, st := range conn.GetStreams() {
			if st.Protocol() == rig.Sessions {
				on = conn
			}
		}
	}
	if on == nil {
		t.Fatal("no session")
	}
	_ = on.Close()
	rig.Eventually(t, "the session is gone", func() bool { return rig.SessionsAt(a) == 0 })
	if len(a.Network().ConnsToPeer(b.ID())) == 0 {
		t.Fatal("no connection is left")
	}
	rig.MultipliesAlways(t, c, b)
	rig.Eventually(t, "one session", func() bool { return rig.SessionsAt(a) == 1 })
}

// refusingHost has no streams, and says so when it is told to.
type refusingHost struct {
	host.Host
	asked  chan struct{} // gets one for each stream that is asked for
	refuse chan struct{} // gives one for each
}

func (h refusingHost) NewStream(context.Context, peer.ID, ...protocol.ID) (network.Stream, error) {
	h.asked <- struct{}{}
	<-h.refuse
	return nil, errors.New("no stream")
}

// Callers who waited for a session that could not be opened do not wait for
// each other: a peer that never answers would have them do so one by one. They end
// with the error of the one that asked.
func TestCallersThatWaitedForASessionInVain(t *testing.T) {
	t.Parallel()
	const calls = 20
	h := refusingHost{rig.NewHost(t), make(chan struct{}, calls), make(chan struct{}, calls)}
	c := rig.Client(t, h)
	dest := coretest.RandPeerIDFatal(t)
	results := make(chan error, calls)
	waiting := new(atomic.Int64)
	for range calls {
		go func() {
			waiting.Add(1)
			results <- c.Call(dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int))
		}()
	}
	rig.Take(t, "one asks for a session", h.asked)
	rig.RestsBelow(t, "all callers wait", waiting, calls+1)
	for range calls { // one that came late asks, too
		h.refuse <- struct{}{}
	}
	for range calls {
		err := rig.Take(t, "the calls fail", results)
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Multiply", dest.String(), "no stream")
		if !rig.Unsent(err) {
			t.Errorf("it may have been sent: %v", err)
		}
	}
}
