package cases_test

import (
	"context"
	"errors"
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

// Calls that begin together, to a peer to which no stream can be opened, each
// end as soon as one alone would.
func TestCallsThatWaitForAnOpeningWaitNoLonger(t *testing.T) {
	t.Parallel()
	a, _ := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	b, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	defer a.Close()
	defer b.Close()
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
	for known := 0; known == 0; time.Sleep(time.Millisecond) { // they have told each other who they are
		protocols, _ := a.Peerstore().GetProtocols(b.ID())
		known = len(protocols)
	}
	frozen.Store(true)
	c := rpc.NewClient(a, "/r/1")
	defer c.Close()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			start := time.Now()
			err := c.Call(b.ID(), "S", "M", 1, new(int))
			if took := time.Since(start); took > 15*time.Second || !errors.As(err, new(*rpc.DialError)) {
				t.Errorf("call %d, after %v: %v", i, took.Round(time.Second), err)
			}
		})
	}
	wg.Wait()
}
