package soak_test

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var soakTime = flag.Duration("soak", 5*time.Second, "how long TestSoak runs")

const (
	soakHosts   = 4
	soakWorkers = 2 // of each host, for each transport
	soakHeap    = 32 << 20
)

// TestSoak has hosts call each other over all transports, unary and streaming by
// channels and typed. A tenth of the calls is cancelled, and connections are
// closed all the time; now and then a server, or a client, is closed, and another
// takes its place. Every call has a number: no reply is lost, doubled or
// another's, no call runs twice, and one that succeeded ran. Nothing is left
// behind.
//
// Not parallel: it counts goroutines and bytes.
func TestSoak(t *testing.T) {
	d := *soakTime
	if testing.Short() {
		d = min(d, time.Second)
	}
	s := newSoak(t)
	s.run(t, min(d/5, 10*time.Second)) // pools fill, connections open
	before := s.rest(t)
	s.run(t, d)
	after := s.rest(t)
	rig.Eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before.goroutines+10 })
	if s.newServers == 0 || s.others == 0 {
		t.Errorf("%d servers and %d clients were replaced", s.newServers, s.others)
	}
	t.Logf("goroutines %d, then %d; heap %d KiB, then %d KiB", before.goroutines, after.goroutines, before.heap>>10, after.heap>>10)
	if after.heap > before.heap+soakHeap {
		t.Errorf("the heap grew by %d MiB", (after.heap-before.heap)>>20)
	}
	s.close()
	rig.Released(t, s.hosts...)
}

type soak struct {
	hosts   []host.Host
	svc     *soaked
	servers []*rpc.Server // of the hosts
	clients []*soakClient
	callers []*soakCaller

	// changes are odd while a host's server, or a client there, is replaced.
	changes            [soakHosts]atomic.Int64
	newServers, others int
}

// soakClient is where a host's client of one transport is.
type soakClient struct {
	at      int
	tr      rig.Transport
	current atomic.Pointer[rpc.Client]
}

func newSoak(t *testing.T) *soak {
	s := new(soak)
	s.svc = &soaked{t: t, soak: s}
	for range soakHosts {
		s.hosts = append(s.hosts, rig.NewHost(t))
	}
	for i, a := range s.hosts {
		for _, b := range s.hosts {
			rig.Know(a, b)
		}
		s.servers = append(s.servers, s.serve(t, i))
		for _, tr := range rig.Transports {
			c := &soakClient{at: i, tr: tr}
			c.current.Store(s.newClient(c))
			s.clients = append(s.clients, c)
			for range soakWorkers {
				s.callers = append(s.callers, &soakCaller{
					soak: s, id: len(s.callers), at: i, tr: tr, client: c, failed: make(map[codes.Code]int),
				})
			}
		}
	}
	t.Cleanup(s.close)
	return s
}

// serve returns a host's new server.
func (s *soak) serve(t *testing.T, at int) *rpc.Server {
	server := rpc.NewServer(s.hosts[at], rig.Protocol, rig.Quiet)
	if err := server.RegisterName("Svc", s.svc); err != nil {
		t.Error(err)
	}
	if err := soakTyped.Handle(server, s.svc.typed); err != nil {
		t.Error(err)
	}
	return server
}

// run makes calls for a while.
func (s *soak) run(t *testing.T, d time.Duration) {
	t.Helper()
	over := make(chan struct{})
	var wg sync.WaitGroup
	for _, c := range s.callers {
		wg.Go(func() {
			for n := 0; n%64 != 0 || !rig.IsClosed(over); n++ {
				c.call(t)
			}
		})
	}
	wg.Go(func() { s.disturb(t, over) })
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	wg.Wait()
	for _, tr := range rig.Transports {
		calls, good, cancelled, failed := uint64(0), uint64(0), 0, make(map[codes.Code]int)
		for _, c := range s.callers {
			if c.tr.Name != tr.Name {
				continue
			}
			calls += c.n
			good += c.good
			cancelled += c.cancelled
			for code, n := range c.failed {
				failed[code] += n
			}
		}
		t.Logf("%s: %d calls, %d succeeded, %d cancelled; other errors: %v", tr.Name, calls, good, cancelled, failed)
		if good < calls/2 {
			t.Errorf("%s: most calls failed", tr.Name)
		}
	}
	t.Logf("%d servers and %d clients were replaced", s.newServers, s.others)
}

// disturb closes connections, which the calls open again, and now and then
// replaces a server or a client.
func (s *soak) disturb(t *testing.T, over <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-over:
			return
		}
		switch n % 10 {
		case 4:
			s.replaceServer(t, rand.N(soakHosts))
		case 9:
			s.replaceClient(s.clients[rand.N(len(s.clients))])
		default:
			a, b := rand.N(soakHosts), rand.N(soakHosts)
			_ = s.hosts[a].Network().ClosePeer(s.hosts[b].ID())
		}
	}
}

// replaceServer kills the calls of a host's server. Local clients are made with
// a server, and so go with it.
func (s *soak) replaceServer(t *testing.T, at int) {
	s.changes[at].Add(1)
	defer s.changes[at].Add(1)
	_ = s.servers[at].Close()
	s.servers[at] = s.serve(t, at)
	s.newServers++
	for _, c := range s.clients {
		if c.at == at && c.tr.Local {
			_ = c.current.Swap(s.newClient(c)).Close()
		}
	}
}

// newClient returns a client in the place of c's, which the soak closes before
// the test ends.
func (s *soak) newClient(c *soakClient) *rpc.Client {
	if c.tr.Local {
		return rpc.NewClientWithServer(s.hosts[c.at], rig.Protocol, s.servers[c.at], c.tr.Chosen...)
	}
	return rpc.NewClient(s.hosts[c.at], rig.Protocol, c.tr.Chosen...)
}

func (s *soak) replaceClient(c *soakClient) {
	s.changes[c.at].Add(1)
	defer s.changes[c.at].Add(1)
	_ = c.current.Swap(s.newClient(c)).Close()
	s.others++
}

// changed returns what tells whether anything is, or was, replaced at a host
// from now on.
func (s *soak) changed(at int) func() bool {
	before := s.changes[at].Load()
	return func() bool { return before%2 == 1 || s.changes[at].Load() != before }
}

type footprint struct {
	goroutines int
	heap       uint64
}

// rest waits until nothing goes on, and connects all hosts and opens all
// sessions, so that there is as much to see each time.
func (s *soak) rest(t *testing.T) footprint {
	t.Helper()
	for i, a := range s.hosts {
		for _, b := range s.hosts[i+1:] {
			// A dial that was cut off made libp2p wait before the next.
			a.Network().(*swarm.Swarm).Backoff().Clear(b.ID())
			b.Network().(*swarm.Swarm).Backoff().Clear(a.ID())
			// Who dialled each other at once have two connections.
			rig.Eventually(t, "there is one connection", func() bool {
				rig.Connect(t, a, b)
				conns := a.Network().ConnsToPeer(b.ID())
				for _, c := range conns[min(1, len(conns)):] {
					_ = c.Close()
				}
				return len(conns) == 1 && len(b.Network().ConnsToPeer(a.ID())) == 1
			})
		}
	}
	for _, c := range s.clients {
		for at, b := range s.hosts {
			if c.tr.Local || at == c.at {
				continue
			}
			rig.Eventually(t, "a call to a peer when all is quiet", func() bool {
				return rpc.CodeOf(c.current.Load().Call(b.ID(), "Svc", "Missing", 1, new(int))) == codes.Unimplemented
			})
		}
	}
	rig.NoGoroutineStays(t)
	runtime.GC()
	runtime.GC() // and what pools keep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), m.HeapAlloc}
}

func (s *soak) close() {
	for _, c := range s.clients {
		_ = c.current.Load().Close()
	}
	for _, srv := range s.servers {
		_ = srv.Close()
	}
}
