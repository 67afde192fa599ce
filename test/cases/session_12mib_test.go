package cases_test

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type sized12 struct{}

func (sized12) Get(_ context.Context, n int, r *[]byte) error { *r = make([]byte, n); return nil }
func (sized12) Len(_ context.Context, b []byte, r *int) error { *r = len(b); return nil }

func host12(t *testing.T) host.Host {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// A single message below MessageSize, with libp2p's default limits and nothing
// else under way: it fails on a session and passes without.
func TestMessageBelowTheLimitsPassesOnASession(t *testing.T) {
	for name, sessions := range map[string]bool{"session": true, "wire": false} {
		t.Run(name, func(t *testing.T) {
			a, b := host12(t), host12(t)
			s := rpc.NewServer(b, "/r/1")
			defer s.Close()
			if err := s.RegisterName("S", sized12{}); err != nil {
				t.Fatal(err)
			}
			if err := a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
				t.Fatal(err)
			}
			c := rpc.NewClient(a, "/r/1", rpc.WithClientSessions(sessions))
			defer c.Close()
			var n int
			if err := c.Call(b.ID(), "S", "Len", make([]byte, 12<<20), &n); err != nil {
				t.Errorf("an argument of 12 MiB: %v", err)
			}
			var r []byte
			if err := c.Call(b.ID(), "S", "Get", 15<<20, &r); err != nil {
				t.Errorf("a reply of 15 MiB: %v", err)
			}
		})
	}
}
