package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// blackHole is an address that takes connections and never says anything.
func blackHole(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan []net.Conn)
	go func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				accepted <- conns
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for _, c := range <-accepted {
			_ = c.Close()
		}
	})
	return tcpAddr(l.Addr())
}

// closedPort is an address that nobody listens on.
func closedPort(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return tcpAddr(l.Addr())
}

func tcpAddr(a net.Addr) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", a.(*net.TCPAddr).Port))
}

func TestContextThatEndsWhileDiallingIsToldAsSuch(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := rpc.NewClient(h, testProtocol)
	t.Cleanup(func() { _ = c.Close() })
	hole := blackHole(t)
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		for _, streaming := range []bool{false, true} {
			dest := coretest.RandPeerIDFatal(t)
			h.Peerstore().AddAddr(dest, hole, peerstore.PermanentAddrTTL)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			if what == "canceled" {
				cancel()
				ctx, cancel = context.WithCancel(context.Background())
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			replies := make(chan int)
			err := take(t, "the call returns", inBackground(func() error {
				if streaming {
					return c.Stream(ctx, dest, "Svc", "M", make(chan int), replies)
				}
				return c.CallContext(ctx, dest, "Svc", "M", 1, new(int))
			}))
			cancel()
			checkEnded(t, err, want, "Svc.M")
			if !unsent(err) {
				t.Errorf("the request may have been sent: %v", err)
			}
			if streaming {
				if _, open := take2(t, replies); open {
					t.Error("replies are open")
				}
			}
		}
	}
}

func TestUnreachablePeerIsUnavailable(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := rpc.NewClient(h, testProtocol)
	t.Cleanup(func() { _ = c.Close() })
	dest := coretest.RandPeerIDFatal(t)
	h.Peerstore().AddAddr(dest, closedPort(t), peerstore.PermanentAddrTTL)
	err := c.Call(dest, "Svc", "M", 1, new(int))
	checkErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.M", dest.String())
	if n := strings.Count(err.Error(), "peer "+dest.String()); n != 1 { // libp2p says it in words of its own
		t.Errorf("names the peer %d times: %v", n, err)
	}
}

func TestCloseEndsCallsThatAreDialling(t *testing.T) {
	t.Parallel()
	hole := blackHole(t)
	overRemote(t, func(t *testing.T, tr transport) {
		h := newHost(t)
		c := tr.client(t, h)
		dest := coretest.RandPeerIDFatal(t)
		h.Peerstore().AddAddr(dest, hole, peerstore.PermanentAddrTTL)
		const calls = 3 // of which one dials
		errs := make(chan error, calls)
		for range calls {
			go func() { errs <- c.CallContext(context.Background(), dest, "Svc", "M", 1, new(int)) }()
		}
		eventually(t, "the peer is dialled", func() (dialled bool) {
			_ = h.Network().ResourceManager().ViewSystem(func(scope network.ResourceScope) error {
				dialled = scope.Stat().NumConnsOutbound > 0
				return nil
			})
			return dialled
		})
		_ = c.Close()
		for range calls {
			err := take(t, "the call returns", errs)
			checkErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.M", "closed")
			if !unsent(err) || errors.Is(err, context.Canceled) {
				t.Errorf("the request was not sent, and nobody cancelled it: %v", err)
			}
		}
	})
}
