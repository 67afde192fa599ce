package rig

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multiaddr"
)

// Link carries connections to a host, over TCP or UDP, and things happen to it. Its
// methods are safe for concurrent use.
type Link struct {
	Addr multiaddr.Multiaddr // by which the host is called over the link
	udp  bool
	to   string

	listener net.Listener // of TCP

	mu     sync.Mutex
	thawed sync.Cond
	frozen bool
	closed bool
	delay  time.Duration
	all    map[net.Conn]struct{}
	group  sync.WaitGroup
}

// NewLink returns a link to the first address of h, until the test ends.
func NewLink(t testing.TB, h host.Host) *Link {
	t.Helper()
	addr := h.Addrs()[0]
	l := &Link{all: make(map[net.Conn]struct{})}
	l.thawed.L = &l.mu
	port, err := addr.ValueForProtocol(multiaddr.P_TCP)
	if l.udp = err != nil; l.udp {
		port, err = addr.ValueForProtocol(multiaddr.P_UDP)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.to = "127.0.0.1:" + port
	var own int
	if l.udp {
		own, err = l.listenUDP()
	} else {
		own, err = l.listenTCP()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range addr {
		if code := c.Protocol().Code; code == multiaddr.P_TCP || code == multiaddr.P_UDP {
			renamed, err := multiaddr.NewComponent(c.Protocol().Name, strconv.Itoa(own))
			if err != nil {
				t.Fatal(err)
			}
			c = *renamed
		}
		l.Addr = append(l.Addr, c)
	}
	t.Cleanup(l.close)
	return l
}

// Freeze stops everything on the link: the peer is frozen, or the line is cut.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// Thaw ends that. What TCP has sent meanwhile arrives.
func (l *Link) Thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = false
	l.thawed.Broadcast()
}

// Slow makes each read on the link take so long, in both directions.
func (l *Link) Slow(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = d
}

// Kill does to the connections what the system does when the peer's process is killed: it
// ends those of TCP, and says nothing to those of UDP.
func (l *Link) Kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.udp {
		l.frozen = true
		return
	}
	for c := range l.all {
		_ = c.Close()
	}
}

func (l *Link) close() {
	l.mu.Lock()
	l.closed = true
	if l.listener != nil {
		_ = l.listener.Close()
	}
	l.thawed.Broadcast()
	for c := range l.all {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.group.Wait()
}

// keep has c closed with the link, and reports false if that is closed already.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return false
	}
	l.all[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
}

// pass waits until the link lets something pass, and reports false if it never will.
func (l *Link) pass(wait bool) bool {
	l.mu.Lock()
	delay := l.delay
	for wait && l.frozen && !l.closed {
		l.thawed.Wait()
	}
	ok := !l.closed && !l.frozen
	l.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	return ok
}

func (l *Link) listenTCP() (port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	l.listener = listener
	l.group.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", l.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			if l.keep(in) && l.keep(out) {
				l.group.Go(func() { l.pump(in, out) })
				l.group.Go(func() { l.pump(out, in) })
			}
		}
	})
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (l *Link) pump(from, to net.Conn) {
	defer l.drop(from)
	defer l.drop(to)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !l.pass(true) || err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *Link) listenUDP() (port int, err error) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, err
	}
	l.keep(front)
	l.group.Go(func() {
		backs := make(map[string]net.Conn)
		buf := make([]byte, 64<<10)
		for {
			n, from, err := front.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if !l.pass(false) {
				continue
			}
			back := backs[from.String()]
			if back == nil {
				if back, err = net.Dial("udp", l.to); err != nil || !l.keep(back) {
					return
				}
				backs[from.String()] = back
				l.group.Go(func() { l.answer(front, back, from) })
			}
			_, _ = back.Write(buf[:n])
		}
	})
	return front.LocalAddr().(*net.UDPAddr).Port, nil
}

// answer carries what comes back to who has called. A port that nobody listens on is an
// error of one read.
func (l *Link) answer(front *net.UDPConn, back net.Conn, to *net.UDPAddr) {
	buf := make([]byte, 64<<10)
	for {
		n, err := back.Read(buf)
		switch {
		case err == nil && l.pass(false):
			_, _ = front.WriteToUDP(buf[:n], to)
		case err != nil && l.isClosed():
			return
		}
	}
}

func (l *Link) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// String names the address.
func (l *Link) String() string { return fmt.Sprint(l.Addr) }
