// Package simtest tests the library on a simulated network, with simulated time.
package simtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/codes"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const protocolID = "/sim/1.0"

type Echo struct{}

func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

func (Echo) Slow(_ context.Context, d time.Duration, out *bool) error {
	time.Sleep(d)
	*out = true
	return nil
}

// world is a network of hosts, which can be frozen.
type world struct {
	net    *simnet.Simnet
	hosts  []host.Host
	frozen atomic.Bool // then no packet arrives
	loss   atomic.Int64
	packet atomic.Int64
}

// newWorld returns so many hosts, with links of such a speed, half a delay away
// from the middle. All but the first serve Echo.
func newWorld(t *testing.T, hosts, mbps int, delay time.Duration) *world {
	w := new(world)
	link := simnet.LinkSettings{BitsPerSecond: mbps * simlibp2p.OneMbps}
	latency := func(*simnet.Packet) time.Duration {
		n := w.packet.Add(1)
		if loss := w.loss.Load(); w.frozen.Load() || loss > 0 && n%loss == 0 {
			return 1000 * time.Hour
		}
		return delay / 2
	}
	net, meta, err := simlibp2p.SimpleLibp2pNetwork([]simlibp2p.NodeLinkSettingsAndCount{{
		LinkSettings: simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}, Count: hosts,
	}}, latency, simlibp2p.NetworkSettings{})
	if err != nil {
		t.Fatal(err)
	}
	w.net, w.hosts = net, meta.Nodes
	net.Logger = slog.New(slog.DiscardHandler)
	net.Start()
	for _, h := range w.hosts[1:] {
		s := rpc.NewServer(h, protocolID, rpc.WithServerLogger(slog.New(slog.DiscardHandler)))
		if err := s.Register(Echo{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		w.hosts[0].Peerstore().AddAddrs(h.ID(), h.Addrs(), peerstore.PermanentAddrTTL)
	}
	return w
}

func (w *world) close() {
	for _, h := range w.hosts {
		_ = h.Close()
	}
	w.net.Close()
}

// client returns a client of the first host.
func (w *world) client(opts ...rpc.ClientOption) *rpc.Client {
	return rpc.NewClient(w.hosts[0], protocolID, opts...)
}

// transports are the two ways to carry a call.
var transports = map[string][]rpc.ClientOption{
	"session": nil, "wire": {rpc.WithClientSessions(false)},
}

func overBoth(t *testing.T, f func(t *testing.T, opts []rpc.ClientOption)) {
	for name, opts := range transports {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, opts) })
		})
	}
}

func echo(ctx context.Context, c *rpc.Client, h host.Host, size int) error {
	in, out := make([]byte, size), []byte(nil)
	for i := range in {
		in[i] = byte(i)
	}
	err := c.CallContext(ctx, h.ID(), "Echo", "Bytes", in, &out)
	if err == nil && string(in) != string(out) {
		return fmt.Errorf("%d other bytes", len(out))
	}
	return err
}

// A call takes one round trip, once there is a connection and a session.
func TestCallTakesOneRoundTrip(t *testing.T) {
	overBoth(t, func(t *testing.T, opts []rpc.ClientOption) {
		const delay = 100 * time.Millisecond
		w := newWorld(t, 2, 100, delay)
		defer w.close()
		c := w.client(opts...)
		defer c.Close()
		for i := range 5 {
			start := time.Now()
			if err := echo(t.Context(), c, w.hosts[1], 64); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); i > 1 && took > delay*2+10*time.Millisecond {
				t.Errorf("call %d took %v", i, took)
			}
		}
	})
}

// Lost packets cost time, no calls.
func TestLossLosesNoCall(t *testing.T) {
	overBoth(t, func(t *testing.T, opts []rpc.ClientOption) {
		w := newWorld(t, 2, 10, 20*time.Millisecond)
		defer w.close()
		c := w.client(opts...)
		defer c.Close()
		if err := echo(t.Context(), c, w.hosts[1], 1); err != nil {
			t.Fatal(err)
		}
		w.loss.Store(20) // one of 20 is lost
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := echo(t.Context(), c, w.hosts[1], i*100); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// When the network freezes, calls end with Unavailable within 15 seconds, or
// with their own deadline.
func TestFrozenNetworkEndsCalls(t *testing.T) {
	overBoth(t, func(t *testing.T, opts []rpc.ClientOption) {
		w := newWorld(t, 2, 100, 20*time.Millisecond)
		defer w.close()
		c := w.client(opts...)
		defer c.Close()
		if err := echo(t.Context(), c, w.hosts[1], 1); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		start := time.Now().Add(time.Second) // of the freeze
		for i := range 10 {
			wg.Go(func() {
				ctx := t.Context()
				if i == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 3*time.Second)
					defer cancel()
				}
				var done bool
				err := c.CallContext(ctx, w.hosts[1].ID(), "Echo", "Slow", time.Hour, &done)
				took := time.Since(start)
				if i == 0 && !errors.Is(err, context.DeadlineExceeded) || i > 0 && rpc.CodeOf(err) != codes.Unavailable || took > 15*time.Second*5/4 {
					t.Errorf("call %d, after %v: %v", i, took, err)
				}
			})
		}
		time.Sleep(time.Until(start))
		w.frozen.Store(true)
		wg.Wait()
		time.Sleep(2 * time.Hour) // for the methods to end
	})
}

// A large message over a slow link takes far longer than a peer may be silent.
func TestSlowLinkCarriesLargeMessages(t *testing.T) {
	overBoth(t, func(t *testing.T, opts []rpc.ClientOption) {
		w := newWorld(t, 2, 1, 100*time.Millisecond)
		defer w.close()
		c := w.client(opts...)
		defer c.Close()
		start := time.Now()
		if err := echo(t.Context(), c, w.hosts[1], 6<<20); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < time.Minute {
			t.Errorf("no more than %v", took)
		}
	})
}

// A thousand destinations, most of them dead: the live ones answer within a
// second, and the others end with their contexts.
func TestDeadDestinationsDoNotHoldUpLiveOnes(t *testing.T) {
	overBoth(t, func(t *testing.T, opts []rpc.ClientOption) {
		const all, alive = 1000, 20
		w := newWorld(t, alive+1, 100, 50*time.Millisecond)
		defer w.close()
		c := w.client(opts...)
		defer c.Close()
		nowhere := multiaddr.StringCast("/ip4/1.2.3.4/udp/8000/quic-v1")
		var dests []peer.ID
		for i := range all {
			if i%(all/alive) == 0 {
				dests = append(dests, w.hosts[1+i/(all/alive)].ID())
				continue
			}
			dead := test.RandPeerIDFatal(t)
			w.hosts[0].Peerstore().AddAddr(dead, nowhere, peerstore.PermanentAddrTTL)
			dests = append(dests, dead)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		start := time.Now()
		for i, dest := range dests {
			wg.Go(func() {
				var out []byte
				err := c.CallContext(ctx, dest, "Echo", "Bytes", []byte("x"), &out)
				took := time.Since(start)
				if live := i%(all/alive) == 0; live && (err != nil || took > time.Second) {
					t.Errorf("a live destination, after %v: %v", took, err)
				} else if !live && (took > 3*time.Second || !errors.Is(err, context.DeadlineExceeded) && rpc.CodeOf(err) != codes.Unavailable) {
					t.Errorf("a dead destination, after %v: %v", took, err)
				}
			})
		}
		wg.Wait()
	})
}
