package faults_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Times of a round, on a machine that is not busy.
var (
	silence = rig.Slower(2 * time.Second)
	dialing = rig.Slower(2 * time.Second)
)

const (
	negotiation = 10 * time.Second // libp2p's, where there is no deadline
	workers     = 3                // of each peer
)

// limits are low, so that they are met, and so that the formula of operating.md says little.
var limits = rpc.Limits{
	MessageSize: 128 << 10, DecodedPerPeer: 1 << 20, CallsPerPeer: 8, Calls: 32, QueueTimeout: rig.Slower(time.Second),
	SilenceTimeout: silence,
}

// formula is what operating.md says that one peer can make a server hold, and as much
// again for what its own calls hold, and for libp2p's buffers.
const formula = 2 * (1<<20 + // what libp2p grants is not met: as much as messages lent
	9*128<<10 + 2<<20 + // lent
	1<<20 + // decoded
	8*64<<10 + 8*5*8<<10 + // calls, their metadata
	8*640<<10 + // streaming calls
	2*(448<<10+8*256)) // the sessions of two clients

// one is a peer.
type one struct {
	name   string
	host   host.Host // as its server and clients have it
	server *rpc.Server
	// clients of each carrier
	clients []*rpc.Client
	targets []target
}

// target is a peer that another can call.
type target struct {
	*one
	limited bool // over a relay
}

// world is the peers of a round, and the links between them.
type world struct {
	t      *testing.T
	seed   uint64
	length time.Duration
	events []event
	peers  []*one
	links  []*rig.Link
	relay  host.Host
	behind *one // the relay
	via    peer.AddrInfo
	book   book
	ids    atomic.Int64
	bug    planted
	closed []func()
}

// plainHost knows no protocol but v0.6's.
type plainHost struct{ host.Host }

func (h plainHost) SetStreamHandler(p protocol.ID, f network.StreamHandler) {
	if p == rig.Protocol {
		h.Host.SetStreamHandler(p, f)
	}
}

func (h plainHost) NewStream(ctx context.Context, p peer.ID, _ ...protocol.ID) (network.Stream, error) {
	return h.Host.NewStream(ctx, p, rig.Protocol)
}

// newWorld has peers on TCP, WebSocket and QUIC, one of which has the plain protocol only,
// and one behind a relay. Each of the others reaches each by a link of its own.
func newWorld(t *testing.T, seed uint64, length time.Duration, bug planted) *world {
	w := &world{t: t, seed: seed, length: length, bug: bug}
	w.book.ran, w.book.ends = make(map[int]int), make(map[codes.Code]int)
	dial := libp2p.SwarmOpts(swarm.WithDialTimeout(dialing))
	for i, addr := range []string{rig.Muxers["tcp"], rig.Muxers["quic"], "/ip4/127.0.0.1/tcp/0/ws", rig.Muxers["tcp"]} {
		w.add(fmt.Sprint("peer ", i), rig.NewHostOn(t, addr, dial), i == 3)
	}
	for _, from := range w.peers {
		for _, to := range w.peers {
			if from != to {
				link := rig.NewLink(t, to.host)
				w.links = append(w.links, link)
				w.reach(from, to, link.Addr, false)
			}
		}
	}
	w.addRelayed(dial)
	w.events = schedule(seed, length, len(w.links), len(w.peers))
	return w
}

func (w *world) add(name string, h host.Host, plain bool) *one {
	if plain {
		h = plainHost{h}
	}
	p := &one{name: name, host: h}
	w.serve(p)
	for _, sessions := range []bool{true, false} {
		p.clients = append(p.clients, rpc.NewClient(h, rig.Protocol, rpc.WithClientSessions(sessions), rpc.WithClientLimits(limits),
			rpc.WithClientInterceptors(w.bug.client(w))))
	}
	w.peers = append(w.peers, p)
	return p
}

func (w *world) reach(from, to *one, addr multiaddr.Multiaddr, limited bool) {
	from.host.Peerstore().AddAddrs(to.host.ID(), []multiaddr.Multiaddr{addr}, peerstore.PermanentAddrTTL)
	from.targets = append(from.targets, target{to, limited})
}

// addRelayed adds a peer that the first reaches through a relay, and by nothing else.
func (w *world) addRelayed(dial libp2p.Option) {
	resources := relay.DefaultResources()
	resources.Limit.Data, resources.ReservationTTL = 256<<10, time.Hour
	var err error
	if w.relay, err = libp2p.New(libp2p.ListenAddrStrings(rig.Muxers["tcp"]), libp2p.DisableMetrics(),
		libp2p.EnableRelayService(relay.WithResources(resources)), libp2p.ForceReachabilityPublic()); err != nil {
		w.t.Fatal(err)
	}
	hosts := make([]host.Host, 2)
	for i := range hosts {
		if hosts[i], err = libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(), dial); err != nil {
			w.t.Fatal(err)
		}
	}
	w.closed = append(w.closed, func() { _ = hosts[0].Close(); _ = hosts[1].Close(); _ = w.relay.Close() })
	link := rig.NewLink(w.t, w.relay)
	w.links = append(w.links, link)
	w.via = peer.AddrInfo{ID: w.relay.ID(), Addrs: []multiaddr.Multiaddr{link.Addr}}
	hosts[0].Peerstore().AddAddrs(w.relay.ID(), w.relay.Addrs(), peerstore.PermanentAddrTTL)
	caller := w.add("caller through the relay", hosts[0], false)
	w.behind = w.add("behind the relay", hosts[1], false)
	w.reach(caller, w.behind, multiaddr.StringCast(fmt.Sprintf("/p2p/%v/p2p-circuit", w.relay.ID())), true)
	w.reserve()
}

// reserve has the peer behind the relay be reachable again.
func (w *world) reserve() {
	ctx, cancel := context.WithTimeout(context.Background(), dialing)
	defer cancel()
	if w.behind.host.Connect(ctx, w.via) == nil {
		_, _ = client.Reserve(ctx, w.behind.host, w.via)
	}
}

func (w *world) serve(p *one) {
	p.server = rpc.NewServer(p.host, rig.Protocol, rig.Quiet, rpc.WithServerLimits(limits), rpc.WithServerInterceptors(w.bug.server(w)))
	if err := p.server.RegisterName("Svc", &noted{w}); err != nil {
		w.t.Error(err)
	}
}

// run has peers call each other while it all happens, and then ends everything.
func (w *world) run() {
	over := make(chan struct{})
	var callers, others sync.WaitGroup
	for i, p := range w.peers {
		for j := range workers {
			if len(p.targets) > 0 {
				callers.Go(func() { w.calls(p, random(w.seed, uint64(1+i*workers+j)), over) })
			}
		}
	}
	others.Go(func() { w.watchMemory(over) })
	w.happens()
	close(over)
	callers.Wait()
	others.Wait()
	w.end()
}

// happens goes through the schedule.
func (w *world) happens() {
	start := time.Now()
	var ends sync.WaitGroup
	for _, e := range w.events {
		time.Sleep(time.Until(start.Add(e.at)))
		undo := w.begin(e)
		ends.Go(func() {
			time.Sleep(min(e.lasts, time.Until(start.Add(w.length))))
			undo()
		})
	}
	time.Sleep(time.Until(start.Add(w.length)))
	ends.Wait()
}

// begin lets an event happen, and returns what ends it.
func (w *world) begin(e event) (undo func()) {
	switch e.what {
	case freeze:
		w.links[e.where].Freeze()
		return w.links[e.where].Thaw
	case slow:
		w.links[e.where].Slow(20 * time.Millisecond)
		return func() { w.links[e.where].Slow(0) }
	case kill:
		w.links[e.where].Kill()
		return func() { w.links[e.where].Thaw(); w.repair() }
	case trim:
		n := w.peers[e.where].host.Network()
		for _, c := range n.Conns() {
			go func() { _ = c.CloseWithError(network.ConnGarbageCollected) }()
		}
		return w.repair
	}
	p := w.peers[e.where]
	ctx, cancel := context.WithTimeout(context.Background(), silence/4)
	defer cancel()
	_ = p.server.Shutdown(ctx)
	return func() { w.serve(p) }
}

func (w *world) repair() {
	if w.behind.host.Network().Connectedness(w.relay.ID()) != network.Connected {
		w.reserve()
	}
}
