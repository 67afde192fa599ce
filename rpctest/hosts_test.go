package rpctest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// bothNetworks are the ways to have hosts.
var bothNetworks = map[string]func(testing.TB, int, ...libp2p.Option) []host.Host{
	"memory": rpctest.MemoryHosts, "loopback": rpctest.LoopbackHosts,
}

func TestHostsAreAllConnectedAndServe(t *testing.T) {
	t.Parallel()
	for name, newHosts := range bothNetworks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hosts := newHosts(t, 4)
			var servers []*rpctest.Server
			for _, h := range hosts {
				s := rpctest.NewServer(t, h, "/test")
				s.Mock("Echo", rpctest.Methods{"Echo": echo})
				servers = append(servers, s)
				if n := len(h.Network().Peers()); n != 3 {
					t.Errorf("connected to %d peers, not 3", n)
				}
			}
			sent := bytes.Repeat([]byte("some bytes "), 100_000) // larger than every buffer
			for i, s := range servers {
				client := s.Client()
				for _, to := range servers {
					var got []byte
					if err := client.CallContext(testContext(t), to.ID(), "Echo", "Echo", sent, &got); err != nil || !bytes.Equal(got, sent) {
						t.Errorf("%v to %v: %d bytes, %v", s.ID(), to.ID(), len(got), err)
					}
					calls := to.Method("Echo", "Echo").Wait(i + 1)
					if last := calls[len(calls)-1]; len(calls) != i+1 || last.Peer != s.ID() || last.Local != (s == to) {
						t.Errorf("%v to %v: recorded %d calls, the last from %v, local %t", s.ID(), to.ID(), len(calls), last.Peer, last.Local)
					}
				}
			}
		})
	}
}

func echo(_ context.Context, b []byte, r *[]byte) error {
	*r = b
	return nil
}

func TestAHostCanBeAddedAndGo(t *testing.T) {
	t.Parallel()
	for name, newHosts := range bothNetworks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hosts, late := newHosts(t, 2), newHosts(t, 1)[0]
			s := rpctest.NewServer(t, late, "/test")
			s.Mock("Echo", rpctest.Methods{"Echo": echo})
			client := rpctest.NewServer(t, hosts[0], "/test").Client()
			var got []byte
			if err := client.CallContext(testContext(t), late.ID(), "Echo", "Echo", []byte{1}, &got); rpc.CodeOf(err) != codes.Unavailable {
				t.Errorf("before it is connected: %v", err)
			}
			rpctest.Connect(t, hosts[0], late)
			if err := client.CallContext(testContext(t), late.ID(), "Echo", "Echo", []byte{1}, &got); err != nil || len(got) != 1 {
				t.Errorf("connected: %v, %v", got, err)
			}
			// Their addresses are known: a lost connection is made anew. One that
			// has just been closed may be tried first.
			if err := hosts[0].Network().ClosePeer(late.ID()); err != nil {
				t.Error(err)
			}
			var err error
			for range 2 {
				if err = client.CallContext(testContext(t), late.ID(), "Echo", "Echo", []byte{2}, &got); rpc.CodeOf(err) != codes.Unavailable {
					break
				}
			}
			if err != nil || got[0] != 2 {
				t.Errorf("connected again: %v, %v", got, err)
			}
			_ = late.Close()
			if err := client.CallContext(testContext(t), late.ID(), "Echo", "Echo", []byte{3}, &got); rpc.CodeOf(err) != codes.Unavailable {
				t.Errorf("after it was closed: %v", err)
			}
		})
	}
}

func TestHostsTakeOptions(t *testing.T) {
	t.Parallel()
	secret := libp2p.PrivateNetwork(pnet.PSK(bytes.Repeat([]byte{7}, 32)))
	for name, newHosts := range bothNetworks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members, outsider := newHosts(t, 2, secret), newHosts(t, 1)[0]
			ctx := testContext(t)
			if err := outsider.Connect(ctx, peer.AddrInfo{ID: members[0].ID(), Addrs: members[0].Addrs()}); err == nil {
				t.Error("a host without the network's key connects")
			} else if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the attempt hangs: %v", err)
			}
		})
	}
}

func TestHostsThatCannotConnectFailTheTest(t *testing.T) {
	t.Parallel()
	went := false
	ft := runFake(func(ft testing.TB) {
		a, b := rpctest.MemoryHosts(ft, 1)[0], rpctest.MemoryHosts(ft, 1)[0]
		_ = b.Close()
		rpctest.Connect(ft, a, b)
		went = true
	})
	if went || !ft.stopped {
		t.Error("it goes on")
	}
	says(t, ft.output(), "connecting")

	ft = runFake(func(ft testing.TB) {
		rpctest.MemoryHosts(ft, 1, func(*libp2p.Config) error { return errDisk })
	})
	says(t, ft.output(), "host 1 of 1", errDisk.Error())
}
