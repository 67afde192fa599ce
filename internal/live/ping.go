package live

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
)

// pingProtocol is libp2p's own, which its hosts serve unless told not to.
const pingProtocol = protocol.ID("/ipfs/ping/1.0.0")

// ask pings the peer. The mutex is held.
func (m *Monitor) ask(c *conn) {
	ctx, cancel := context.WithCancel(m.over)
	c.cancel, c.unsure = cancel, false
	go func() {
		st := c.ping(ctx, m)
		m.mu.Lock()
		cancel()
		c.cancel, c.since = nil, time.Time{}
		m.release(c)
		m.mu.Unlock()
		if st != nil {
			_ = st.Reset() // which may wait for the peer
		}
	}()
}

// ping returns when the peer has answered, or the ping says nothing. It goes no further
// than the negotiation: a peer that agrees to ping lives, and so does one that refuses. A
// ping for which there is no room for a stream has not been sent, and says nothing.
func (c *conn) ping(ctx context.Context, m *Monitor) network.Stream {
	opening, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "ping"), m.silence)
	defer cancel()
	st, err := c.conn.NewStream(opening)
	if err != nil {
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = st.Reset() })()
	m.mu.Lock()
	c.begins()
	m.mu.Unlock()
	_, _ = multistream.SelectOneOf([]protocol.ID{pingProtocol}, st)
	return st
}
