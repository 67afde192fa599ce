package rpc_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var soakTime = flag.Duration("soak", 5*time.Second, "how long TestSoak runs")

const (
	soakHosts   = 4
	soakWorkers = 2 // of each host, for each transport
	soakHeap    = 32 << 20
)

// TestSoak has hosts call each other over all transports, unary and streaming.
// A tenth of the calls is cancelled, and connections are closed all the time.
// Every call has a number: no reply is lost, doubled or another's, no call runs
// twice, and one that succeeded ran. Nothing is left behind.
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
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before.goroutines+10 })
	after := s.rest(t)
	t.Logf("goroutines %d, then %d; heap %d KiB, then %d KiB", before.goroutines, after.goroutines, before.heap>>10, after.heap>>10)
	if after.heap > before.heap+soakHeap {
		t.Errorf("the heap grew by %d MiB", (after.heap-before.heap)>>20)
	}
	s.close()
	released(t, s.hosts...)
}

type soak struct {
	hosts   []host.Host
	servers []*rpc.Server
	callers []*soakCaller
}

func newSoak(t *testing.T) *soak {
	s := new(soak)
	for range soakHosts {
		s.hosts = append(s.hosts, newHost(t))
	}
	svc := &soaked{t: t, soak: s}
	for _, a := range s.hosts {
		for _, b := range s.hosts {
			know(a, b)
		}
		s.servers = append(s.servers, serve(t, a, svc))
	}
	for i, h := range s.hosts {
		for _, tr := range transports {
			c := tr.newClient(h, s.servers[i])
			t.Cleanup(func() { _ = c.Close() })
			for range soakWorkers {
				s.callers = append(s.callers, &soakCaller{
					soak: s, id: len(s.callers), at: i, tr: tr, client: c, failed: make(map[rpc.Code]int),
				})
			}
		}
	}
	return s
}

// run makes calls for a while.
func (s *soak) run(t *testing.T, d time.Duration) {
	t.Helper()
	over := make(chan struct{})
	var wg sync.WaitGroup
	for _, c := range s.callers {
		wg.Go(func() {
			for n := 0; n%64 != 0 || !isClosed(over); n++ {
				c.call(t)
			}
		})
	}
	wg.Go(func() { s.disconnect(over) })
	timer := time.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	wg.Wait()
	for _, tr := range transports {
		calls, good, cancelled, failed := uint64(0), uint64(0), 0, make(map[rpc.Code]int)
		for _, c := range s.callers {
			if c.tr.name != tr.name {
				continue
			}
			calls += c.n
			good += c.good
			cancelled += c.cancelled
			for code, n := range c.failed {
				failed[code] += n
			}
		}
		t.Logf("%s: %d calls, %d succeeded, %d cancelled; other errors: %v", tr.name, calls, good, cancelled, failed)
		if good < calls/2 {
			t.Errorf("%s: most calls failed", tr.name)
		}
	}
}

// disconnect closes connections, which the calls open again.
func (s *soak) disconnect(over <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a, b := rand.N(soakHosts), rand.N(soakHosts)
			_ = s.hosts[a].Network().ClosePeer(s.hosts[b].ID())
		case <-over:
			return
		}
	}
}

type footprint struct {
	goroutines int
	heap       uint64
}

// rest waits until nothing goes on, and connects all hosts, so that there is as
// much to see each time.
func (s *soak) rest(t *testing.T) footprint {
	t.Helper()
	for _, a := range s.hosts {
		for _, b := range s.hosts {
			if a != b {
				// A dial that was cut off made libp2p wait before the next.
				a.Network().(*swarm.Swarm).Backoff().Clear(b.ID())
				connect(t, a, b)
			}
		}
	}
	noGoroutineStays(t)
	runtime.GC()
	runtime.GC() // and what pools keep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), m.HeapAlloc}
}

func (s *soak) close() {
	for _, c := range s.callers {
		_ = c.client.Close()
	}
	for _, srv := range s.servers {
		_ = srv.Close()
	}
}

// SoakArg is the argument, or one of them, of a numbered call, and SoakReply
// what is made of it.
type SoakArg struct {
	Caller int
	N      uint64
	Item   int
	Hold   time.Duration
	Body   []byte
}

type SoakReply struct {
	Caller int
	N      uint64
	Item   int
	Body   []byte
}

func (a *SoakArg) reply() SoakReply {
	r := SoakReply{a.Caller, a.N, a.Item, make([]byte, len(a.Body))}
	for i, b := range a.Body {
		r.Body[i] = b ^ byte(a.N)
	}
	return r
}

func (r *SoakReply) equal(o *SoakReply) bool {
	return r.Caller == o.Caller && r.N == o.N && r.Item == o.Item && string(r.Body) == string(o.Body)
}

// soaked is the service.
type soaked struct {
	t    testing.TB
	soak *soak
}

func (s *soaked) Unary(ctx context.Context, a *SoakArg, r *SoakReply) error {
	s.soak.callers[a.Caller].ran(s.t, a.N)
	if a.Hold > 0 {
		timer := time.NewTimer(a.Hold)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	*r = a.reply()
	return nil
}

func (s *soaked) Streaming(ctx context.Context, in <-chan SoakArg, out chan<- SoakReply) error {
	for a := range in {
		if a.Item == 0 {
			s.soak.callers[a.Caller].ran(s.t, a.N)
		}
		select {
		case out <- a.reply():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// soakRing is how many of a caller's last calls are remembered.
const soakRing = 1 << 16

// soakCaller makes one call at a time.
type soakCaller struct {
	soak   *soak
	id, at int
	tr     transport
	client *rpc.Client

	n         uint64 // the last call's number
	good      uint64
	cancelled int
	failed    map[rpc.Code]int
	runs      [soakRing]atomic.Uint64 // number and count (the last byte) of calls that ran
}

// ran notes that call n runs.
func (c *soakCaller) ran(t testing.TB, n uint64) {
	slot := &c.runs[n%soakRing]
	for {
		old := slot.Load()
		next := n<<8 | 1
		switch m := old >> 8; {
		case m == n:
			t.Errorf("%s: call %d ran again", c.tr.name, n)
			return
		case m > n: // given up by its caller, 65,536 calls ago
			t.Errorf("%s: call %d ran when %d had", c.tr.name, n, m)
			return
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// call makes a call, checks the replies and counts.
func (c *soakCaller) call(t *testing.T) {
	c.n++
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	gaveUp := rand.N(10) == 0
	if gaveUp {
		timer := time.AfterFunc(rand.N(2*time.Millisecond), cancel)
		defer timer.Stop()
	}
	dest := c.soak.hosts[c.at]
	for !c.tr.local && dest == c.soak.hosts[c.at] {
		dest = c.soak.hosts[rand.N(soakHosts)]
	}
	var err error
	if rand.N(4) == 0 {
		err = c.stream(ctx, dest)
	} else {
		err = c.unary(ctx, dest)
	}
	var wrong *soakError
	switch {
	case errors.As(err, &wrong):
		t.Errorf("%s: call %d: %v", c.tr.name, c.n, err)
	case err == nil:
		c.good++
		if got := c.runs[c.n%soakRing].Load(); got != c.n<<8|1 {
			t.Errorf("%s: call %d succeeded, and did not run", c.tr.name, c.n)
		}
	case gaveUp && errors.Is(err, context.Canceled):
		c.cancelled++
	case !c.tr.local && rpc.CodeOf(err) == rpc.CodeUnavailable: // its connection was closed
		c.failed[rpc.CodeUnavailable]++
	default:
		c.failed[rpc.CodeOf(err)]++
		t.Errorf("%s: call %d, cancelled %v: %v", c.tr.name, c.n, gaveUp, err)
	}
}

// soakError is a wrong reply.
type soakError struct{ text string }

func (e *soakError) Error() string { return e.text }

func (c *soakCaller) arg(item int) SoakArg {
	size := rand.N(1 << 10)
	if rand.N(50) == 0 {
		size = rand.N(200 << 10)
	}
	a := SoakArg{Caller: c.id, N: c.n, Item: item, Body: []byte(strings.Repeat(fmt.Sprint(c.id, c.n, item), size/4+1))[:size]}
	if rand.N(10) == 0 {
		a.Hold = rand.N(2 * time.Millisecond)
	}
	return a
}

func (c *soakCaller) unary(ctx context.Context, dest host.Host) error {
	a := c.arg(0)
	want := a.reply()
	var r SoakReply
	if err := c.client.CallContext(ctx, dest.ID(), "Svc", "Unary", &a, &r); err != nil {
		return err
	}
	if !r.equal(&want) {
		return &soakError{fmt.Sprintf("the reply is that of %d/%d, %d bytes", r.Caller, r.N, len(r.Body))}
	}
	return nil
}

func (c *soakCaller) stream(ctx context.Context, dest host.Host) error {
	items := make([]SoakArg, 1+rand.N(10))
	for i := range items {
		items[i] = c.arg(i)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the sending
	args, replies := make(chan SoakArg), make(chan SoakReply)
	sendAll(ctx, args, items...)
	all := collect(replies)
	err := c.client.Stream(ctx, dest.ID(), "Svc", "Streaming", args, replies)
	got := all()
	for i := range got {
		if i >= len(items) {
			return &soakError{fmt.Sprintf("%d replies of %d", len(got), len(items))}
		}
		if want := items[i].reply(); !got[i].equal(&want) {
			return &soakError{fmt.Sprintf("reply %d is %d of %d/%d", i, got[i].Item, got[i].Caller, got[i].N)}
		}
	}
	if err == nil && len(got) != len(items) {
		return &soakError{fmt.Sprintf("%d replies of %d, and no error", len(got), len(items))}
	}
	return err
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
