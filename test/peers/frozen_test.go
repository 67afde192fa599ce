package peers_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

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

func TestCallsOfAFrozenPeerEnd(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHost(t), rig.NewHost(t)
	p := newProxy(t, b)
	if err := a.Connect(rig.Context(t), peer.AddrInfo{ID: b.ID(), Addrs: []multiaddr.Multiaddr{p.addr}}); err != nil {
		t.Fatal(err)
	}
	s := rig.NewServer(t, b)
	c := rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: 3 * time.Second}))
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 2)}
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	unary, streaming := make(chan error, 1), make(chan error, 1)
	go func() { unary <- c.Call(b.ID(), "Svc", "Block", struct{}{}, new(int)) }()
	rig.Take(t, "the method begins", svc.Started)
	go func() { streaming <- c.Stream(rig.Context(t), b.ID(), "Svc", "Wait", make(chan int), make(chan int)) }()
	rig.Take(t, "the method begins", svc.Started)
	close(p.frozen)
	for what, result := range map[string]chan error{"unary": unary, "streaming": streaming} {
		select {
		case err := <-result:
			if rpc.CodeOf(err) != codes.Unavailable {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(20 * time.Second): // the muxer would take 40
			t.Fatalf("%s: no answer, and no error", what)
		}
	}
}

// A peer that answers pings keeps its calls, however long they take.
func TestSlowCallsOfALivingPeerGoOn(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	c := rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: 150 * time.Millisecond}))
	pings := make(chan struct{})
	slow := &slowMethod{pings}
	if err := s.RegisterName("Svc", slow); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- c.Call(b.ID(), "Svc", "Slow", struct{}{}, new(int)) }()
	// Several rounds of pings, as the client's clock has them.
	timer := time.NewTimer(time.Second)
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
