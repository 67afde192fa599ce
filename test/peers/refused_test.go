package peers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// TestRefusedStreamOverEveryTransport: libp2p at the server has no room for a stream, and
// every kind of call learns that at once, and that it was not sent.
func TestRefusedStreamOverEveryTransport(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for name, addr := range map[string]string{
			"tcp": rig.Muxers["tcp"], "quic": rig.Muxers["quic"], "websocket": "/ip4/127.0.0.1/tcp/0/ws",
			"webtransport": "/ip4/127.0.0.1/udp/0/quic-v1/webtransport", "webrtc": "/ip4/127.0.0.1/udp/0/webrtc-direct",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				refuseStreams(t, tr, addr, tr.Name == "session" && name == "webtransport")
			})
		}
	})
}

// refuseStreams makes calls that are refused. WebTransport carries no codes, so that the
// end of a session is mute there.
func refuseStreams(t *testing.T, tr rig.Transport, addr string, mute bool) {
	none := rcmgr.PartialLimitConfig{ServicePeer: map[string]rcmgr.ResourceLimits{
		rpc.ServiceName: {StreamsInbound: rcmgr.BlockAllLimit, Streams: rcmgr.BlockAllLimit}}}
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(none.Build(rcmgr.DefaultLimits.AutoScale())))
	if err != nil {
		t.Fatal(err)
	}
	a := rig.NewHostOn(t, addr, libp2p.ResourceManager(&network.NullResourceManager{}))
	b := rig.NewHostOn(t, addr, libp2p.ResourceManager(manager))
	rig.Connect(t, a, b)
	rig.NewServer(t, b)
	c := tr.Client(t, a)
	ctx := rig.Context(t)
	for _, size := range []int{10, 20 << 10, 60 << 10, 1 << 20} {
		arg := make([]byte, size)
		calls := map[string]func() error{
			"by name": func() error { return c.CallContext(ctx, b.ID(), "Svc", "M", arg, new(int)) },
			"typed": func() error {
				_, err := rpc.NewMethod[[]byte, int]("Svc", "M").Call(ctx, c, b.ID(), arg)
				return err
			},
			"stream": func() error {
				args := make(chan []byte, 1)
				args <- arg
				close(args)
				return c.Stream(ctx, b.ID(), "Svc", "M", args, make(chan int))
			},
			"typed stream": func() (err error) {
				for _, err = range rpc.NewServerStream[[]byte, int]("Svc", "M").Call(ctx, c, b.ID(), arg) {
				}
				return err
			},
		}
		for name, call := range calls {
			start := time.Now()
			err := call()
			what := fmt.Sprintf("%s, %d bytes, after %v", name, size, time.Since(start).Round(time.Millisecond))
			told := rpc.CodeOf(err) == codes.ResourceExhausted && rig.Unsent(err) || mute && rpc.CodeOf(err) == codes.Unavailable
			if !told || time.Since(start) > rig.Slower(10*time.Second) {
				t.Errorf("%s: unsent: %v: %v", what, rig.Unsent(err), err)
			}
		}
	}
}
