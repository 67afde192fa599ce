package cases_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// docs/operating.md: calls to a frozen peer end with SilenceTimeout, or a fourth
// later if the peer was frozen when they began. Those that were not sent when
// the session ended by silence are made again on the same dead connection.
func TestAllCallsToAFrozenPeerEndInTime(t *testing.T) {
	t.Parallel()
	a, _ := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	b, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	defer a.Close()
	defer b.Close()
	_ = rpc.NewServer(b, "/r/1")
	var frozen atomic.Bool
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	defer l.Close()
	go func() { // a link that can be frozen
		x, _ := l.Accept()
		y, _ := manet.Dial(b.Addrs()[0])
		pipe := func(to io.Writer, from io.Reader) {
			buf := make([]byte, 4096)
			for n, err := from.Read(buf); err == nil && !frozen.Load(); n, err = from.Read(buf) {
				_, _ = to.Write(buf[:n])
			}
		}
		go pipe(x, y)
		pipe(y, x)
	}()
	addr, _ := manet.FromNetAddr(l.Addr())
	_ = a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: []multiaddr.Multiaddr{addr}})
	const silence = 3 * time.Second
	c := rpc.NewClient(a, "/r/1", rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
	defer c.Close()
	_ = c.Call(b.ID(), "S", "M", 1, new(int)) // opens the session
	frozen.Store(true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			start := time.Now()
			err := c.Call(b.ID(), "S", "M", make([]byte, 10<<20), new(int))
			if took := time.Since(start); took > 2*silence {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	wg.Wait()
}
