package cases_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// A stream that the server's libp2p refuses: on WebRTC with 60 KiB the caller
// learns nothing for 30 s, and then something else; on WebTransport it learns
// something else. On TCP and QUIC it is ResourceExhausted and Unsent, at once.
func TestRefusedStreamIsToldOnEveryTransport(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1",
		"webrtc": "/ip4/127.0.0.1/udp/0/webrtc-direct", "webtransport": "/ip4/127.0.0.1/udp/0/quic-v1/webtransport"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			none := rcmgr.PartialLimitConfig{ServicePeer: map[string]rcmgr.ResourceLimits{
				rpc.ServiceName: {StreamsInbound: rcmgr.BlockAllLimit, Streams: rcmgr.BlockAllLimit}}}
			mgr, _ := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(none.Build(rcmgr.DefaultLimits.AutoScale())))
			a, _ := libp2p.New(libp2p.ListenAddrStrings(addr), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
			b, err := libp2p.New(libp2p.ListenAddrStrings(addr), libp2p.DisableMetrics(), libp2p.ResourceManager(mgr))
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			defer b.Close()
			s := rpc.NewServer(b, "/r/1")
			defer s.Close()
			if err := a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
				t.Fatal(err)
			}
			c := rpc.NewClient(a, "/r/1", rpc.WithClientSessions(false))
			defer c.Close()
			for _, size := range []int{10, 60 << 10} {
				start := time.Now()
				err := c.Call(b.ID(), "S", "M", make([]byte, size), new(int))
				if took := time.Since(start); rpc.CodeOf(err) != codes.ResourceExhausted || took > 15*time.Second {
					t.Errorf("%d bytes: after %v: %v", size, took.Round(time.Millisecond), err)
				}
			}
		})
	}
}
