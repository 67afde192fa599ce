package peers_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// proxy carries TCP connections to a host until it is frozen: then they stay
// open, and nothing moves.
type proxy struct {
	addr   multiaddr.Multiaddr
	frozen chan struct{}
}

func newProxy(t *testing.T, to host.Host) *proxy {
	port, err := to.Addrs()[0].ValueForProtocol(multiaddr.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	p := &proxy{multiaddr.StringCast("/ip4/127.0.0.1/tcp/" + own), make(chan struct{})}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err != nil {
				_ = in.Close()
				return
			}
			keep(in)
			keep(out)
			wg.Go(func() { p.copy(in, out) })
			wg.Go(func() { p.copy(out, in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) copy(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-p.frozen:
			return // and leave the connections open
		default:
		}
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestCallsOfAFrozenPeerEnd has calls of all kinds: those that wait for a reply when the
// peer freezes, those that begin later, and the first of all, for which a stream is to be
// opened. Each ends within 1.25 times SilenceTimeout.
func TestCallsOfAFrozenPeerEnd(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, when := range []string{"under way", "later", "first"} {
			t.Run(when, func(t *testing.T) {
				t.Parallel()
				callFrozen(t, tr, when)
			})
		}
	})
}

func callFrozen(t *testing.T, tr rig.Transport, when string) {
	a, b := rig.NewHost(t), rig.NewHost(t)
	p := newProxy(t, b)
	if err := a.Connect(rig.Context(t), peer.AddrInfo{ID: b.ID(), Addrs: []multiaddr.Multiaddr{p.addr}}); err != nil {
		t.Fatal(err)
	}
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 10)}
	rig.Serve(t, b, svc)
	silence := rig.Slower(3 * time.Second)
	c := tr.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
	ctx := rig.Context(t)
	typed := rpc.NewMethod[struct{}, int]("Svc", "Block")
	large := rpc.NewMethod[[]byte, int]("Svc", "None")
	watch := rpc.NewServerStream[int, int]("Svc", "Wait")
	calls := map[string]func() error{
		"by name": func() error { return c.CallContext(ctx, b.ID(), "Svc", "Block", struct{}{}, new(int)) },
		"typed":   func() error { _, err := typed.Call(ctx, c, b.ID(), struct{}{}); return err },
		"stream": func() error {
			return c.Stream(ctx, b.ID(), "Svc", "Wait", make(chan int), make(chan int))
		},
		"typed stream": func() (err error) {
			for _, err = range watch.Call(ctx, c, b.ID(), 1) {
			}
			return err
		},
	}
	if when == "later" {
		_ = c.CallContext(ctx, b.ID(), "Svc", "None", 1, new(int)) // opens a session
	}
	if when != "under way" {
		close(p.frozen)
		calls["large"] = func() error { _, err := large.Call(ctx, c, b.ID(), make([]byte, 8<<20)); return err }
	}
	type end struct {
		name string
		err  error
	}
	ends := make(chan end, len(calls))
	start := time.Now()
	for name, call := range calls {
		go func() { ends <- end{name, call()} }()
	}
	if when == "under way" {
		for range calls {
			rig.Take(t, "a method runs", svc.Started)
		}
		start = time.Now()
		close(p.frozen)
	}
	for range calls {
		e := rig.Take(t, "a call ends", ends)
		took := time.Since(start)
		if rpc.CodeOf(e.err) != codes.Unavailable || took > silence*5/4+rig.Late || when == "under way" && took < silence/2 {
			t.Errorf("%s ends after %v: %v", e.name, took, e.err)
		}
	}
	if n := len(a.Network().ConnsToPeer(b.ID())); n > 0 {
		t.Errorf("the connection is still used: there are %d", n)
	}
}

// A peer that does not serve libp2p's ping is not silent, and its calls go on.
func TestPeerWithoutPingsIsNotSilent(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHost(t), rig.NewHost(t, libp2p.Ping(false))
		rig.Connect(t, a, b)
		svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
		rig.Serve(t, b, svc)
		silence := rig.Slower(time.Second)
		c := tr.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
		ctx, cancel := context.WithTimeout(rig.Context(t), 3*silence)
		defer cancel()
		go func() { <-svc.Started }()
		if err := c.CallContext(ctx, b.ID(), "Svc", "Block", struct{}{}, new(int)); rpc.CodeOf(err) != codes.DeadlineExceeded {
			t.Errorf("the call ends with %v", err)
		}
	})
}

// A peer that answers pings keeps its calls, however long they take.
func TestSlowCallsOfALivingPeerGoOn(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	silence := rig.Slower(time.Second)
	c := rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
	pings := make(chan struct{})
	slow := &slowMethod{pings}
	if err := s.RegisterName("Svc", slow); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- c.Call(b.ID(), "Svc", "Slow", struct{}{}, new(int)) }()
	// Several rounds of pings, as the client's clock has them.
	timer := time.NewTimer(3 * silence)
	defer timer.Stop()
	select {
	case err := <-result:
		t.Fatalf("the call ended: %v", err)
	case <-timer.C:
	}
	close(pings)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

type slowMethod struct{ until chan struct{} }

func (s *slowMethod) Slow(ctx context.Context, _ struct{}, n *int) error {
	select {
	case <-s.until:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cancelled: %w", ctx.Err())
	}
}
