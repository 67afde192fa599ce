package live

import (
	"context"
	"crypto/rand"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
)

// pingProtocol is libp2p's own, which its hosts answer unless told not to: v0.6's among
// them.
const (
	pingProtocol = protocol.ID("/ipfs/ping/1.0.0")
	pingSize     = 32
)

// ping is the one that is under way on a connection, or the stream of the last, for the
// next. The monitor's mutex guards it.
type ping struct {
	cancel context.CancelFunc
	stream network.Stream // nil: it is still to be opened, or was of no use
	busy   bool
}

func (p *ping) waits() bool { return p != nil && p.busy }

func (p *ping) end() {
	if p == nil {
		return
	}
	p.cancel()
	if st := p.stream; st != nil {
		go func() { _ = st.Reset() }()
	}
}

// ask sends a ping. The monitor's mutex is held.
func (c *conn) ask(m *Monitor) {
	if c.ping == nil {
		c.ping = new(ping)
	}
	p := c.ping
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(m.over)
	p.busy = true
	st := p.stream
	go func() {
		err := c.exchange(ctx, m, p, st)
		p.cancel()
		m.mu.Lock()
		defer m.mu.Unlock()
		p.busy = false
		if err != nil && p.stream != nil {
			st := p.stream
			p.stream = nil
			go func() { _ = st.Reset() }()
		}
		// It was answered, or says nothing: no ping waits for a stream that is gone.
		c.doubt = time.Time{}
		if len(c.users) == 0 && m.conns[c.conn] == c {
			m.forget(c)
		}
	}()
}

// exchange returns when the ping is answered: a refusal is an answer, too. A ping that
// could not be opened has not been sent, and there is no doubt. st is the last one's.
func (c *conn) exchange(ctx context.Context, m *Monitor, p *ping, st network.Stream) (err error) {
	fresh := st == nil
	if fresh {
		if st, err = c.conn.NewStream(network.WithAllowLimitedConn(ctx, "ping")); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = st.Reset() })()
	m.mu.Lock()
	p.stream, c.doubt = st, time.Now()
	m.mu.Unlock()
	if fresh {
		if _, err := multistream.SelectOneOf([]protocol.ID{pingProtocol}, st); err != nil {
			return err
		}
		if err := st.SetProtocol(pingProtocol); err != nil {
			return err
		}
	}
	buf := make([]byte, pingSize)
	_, _ = rand.Read(buf)
	if _, err = st.Write(buf); err == nil {
		_, err = io.ReadFull(st, buf)
	}
	return err
}
