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
		c.cancel, c.since, c.behind = nil, time.Time{}, false
		m.release(c)
		m.mu.Unlock()
		if st != nil {
			_ = st.Reset() // which may wait for the peer
		}
	}()
}

// ping returns when the peer has answered, or the ping says nothing. It goes no further
// than the negotiation: a peer that agrees to ping lives, and so does one that refuses.
func (c *conn) ping(ctx context.Context, m *Monitor) network.Stream {
	st, err := c.open(ctx, m)
	if err != nil {
		return nil
	}
	defer context.AfterFunc(ctx, func() { _ = st.Reset() })()
	m.mu.Lock()
	c.begins()
	c.behind = false
	m.mu.Unlock()
	_, _ = multistream.SelectOneOf([]protocol.ID{pingProtocol}, st)
	return st
}

// open opens the stream of a ping. One that has to wait for the peer to take what is
// before it counts from the beginning. Elsewhere a ping for which there is no room for a
// stream has not been sent, and says nothing.
func (c *conn) open(ctx context.Context, m *Monitor) (network.Stream, error) {
	patience := m.silence
	if c.conn.ConnState().StreamMultiplexer == yamux {
		patience = ample
		m.mu.Lock()
		c.begins()
		c.behind = true
		m.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(network.WithAllowLimitedConn(ctx, "ping"), patience)
	defer cancel()
	return c.conn.NewStream(ctx)
}

// yamux waits with a new stream for nothing but the peer: until it has taken what was
// written before, and has been told of by far more streams than it leaves unaccepted. QUIC
// waits while the peer has as many streams as it allows, alive or not.
const yamux = protocol.ID("/yamux/1.0.0")

// ample is longer than any ping waits: silence ends it before, or the link's slowness.
// libp2p's own patience is shorter than a silence may be.
const ample = time.Hour
