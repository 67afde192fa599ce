package consensus

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/gostream"
)

// raftProtocol is under which raft's own messages travel: it has a format of
// its own for them, and needs only a connection.
const raftProtocol protocol.ID = "/examples/cluster/raft/1.0"

// newTransport has raft talk over libp2p's streams. A peer's ID is its address.
func newTransport(h host.Host, cfg Config) (*raft.NetworkTransport, error) {
	listener, err := gostream.Listen(h, raftProtocol)
	if err != nil {
		return nil, err
	}
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  layer{listener, h, cfg.Trusted},
		MaxPool: 3,
		Timeout: 10 * cfg.Timeout,
		Logger:  hclog.NewNullLogger(),
	}), nil
}

// layer is a raft.StreamLayer.
type layer struct {
	net.Listener
	host    host.Host
	trusted func(peer.ID) bool
}

func (l layer) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	p, err := peer.Decode(string(addr))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return gostream.Dial(ctx, l.host, p, raftProtocol)
}

// Accept turns away those who may not take part: what they send would be
// believed.
func (l layer) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := peer.Decode(conn.RemoteAddr().String())
		if err == nil && (l.trusted == nil || l.trusted(p)) {
			return conn, nil
		}
		_ = conn.Close()
	}
}
