package cases_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// A dial that libp2p gives up: the caller had no deadline, and its error does not
// say that one has passed.
func TestNoDeadlineOfTheCallers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addr, err := manet.FromNetAddr(listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	away := rpctest.MemoryHosts(t, 1)[0].ID()
	method := rpc.NewMethod[int, int]("S", "M")
	for _, d := range []time.Duration{0, time.Minute} {
		ctx := context.Background()
		if d > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
		host := rpctest.LoopbackHosts(t, 1)[0]
		host.Peerstore().AddAddrs(away, []ma.Multiaddr{addr}, time.Hour)
		client := rpc.NewClient(host, "/p")
		_, err = method.Call(ctx, client, away, 1)
		if rpc.CodeOf(err) != codes.Unavailable || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("deadline %v: code %v, is the context's deadline: %v: %v", d, rpc.CodeOf(err), errors.Is(err, context.DeadlineExceeded), err)
		}
	}
}
