package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// pingProtocol is libp2p's own, which its hosts answer unless told not to:
// v0.6's among them.
const (
	pingProtocol = protocol.ID("/ipfs/ping/1.0.0")
	pingSize     = 32
)

// openConns are the streams of a client's calls under way. While there are
// any, the peers at their other ends are asked now and then whether they live:
// one that froze would otherwise hold its calls until the connection's own
// keep-alive notices, which takes 40 seconds.
type openConns struct {
	client *Client
	mu     sync.Mutex
	conns  map[*clientConn]time.Time // since when
	closed bool
	timer  *time.Timer
}

func (o *openConns) init(c *Client) {
	o.client, o.conns = c, make(map[*clientConn]time.Time)
}

// add reports false when the client is closed.
func (o *openConns) add(conn *clientConn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.conns[conn] = time.Now()
	if o.timer == nil && o.client.Limits.SilenceTimeout > 0 {
		o.timer = time.AfterFunc(o.period(), o.check)
	}
	return true
}

func (o *openConns) remove(conn *clientConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, conn)
}

// close ends all of them, and any later one.
func (o *openConns) close() {
	o.mu.Lock()
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Unlock()
	for _, conn := range o.all() {
		conn.fail(call.Closed())
	}
}

func (o *openConns) all() []*clientConn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.conns))
}

// period is how often peers are asked. A call may be almost two old before its
// peer is; what is left of the timeout is for the answer.
func (o *openConns) period() time.Duration { return o.client.Limits.SilenceTimeout / 4 }

// check asks every peer that has kept a call waiting for a period.
func (o *openConns) check() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.timer = nil
	if o.closed || len(o.conns) == 0 {
		return
	}
	o.timer = time.AfterFunc(o.period(), o.check)
	asked := make(map[peer.ID]bool)
	for conn, since := range o.conns {
		if p := conn.call.Peer; !asked[p] && time.Since(since) >= o.period() {
			asked[p] = true
			go o.ask(p)
		}
	}
}

// ask pings p, and ends its calls if there is no answer in time.
func (o *openConns) ask(p peer.ID) {
	timeout := o.client.Limits.SilenceTimeout
	ctx, cancel := context.WithTimeout(o.client.Closed, timeout-2*o.period()-timeout/20)
	defer cancel()
	before := o.moved(p)
	if err := o.client.ping(ctx, p); err == nil || ctx.Err() != context.DeadlineExceeded {
		return // it answers, or its streams tell what is wrong
	}
	if o.moved(p) != before {
		return // it lives: the ping waits behind what the calls send
	}
	for _, conn := range o.all() {
		if conn.call.Peer == p {
			conn.fail(o.client.Limits.Silent(p))
		}
	}
}

// moved is how many bytes the calls of p have sent and received. A call that
// begins or ends counts as well.
func (o *openConns) moved(p peer.ID) (n int64) {
	for _, conn := range o.all() {
		if conn.call.Peer == p {
			in, out := conn.Moved()
			n += in + out + 1
		}
	}
	return n
}

// ping returns nil when p has answered something before ctx ended.
func (c *Client) ping(ctx context.Context, p peer.ID) error {
	ctx = network.WithAllowLimitedConn(network.WithNoDial(ctx, "ping"), "ping")
	st, err := c.Host.NewStream(ctx, p, pingProtocol)
	if err != nil {
		return err
	}
	defer st.Reset()
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer stop()
	buf := make([]byte, pingSize)
	_, _ = rand.Read(buf)
	if _, err = st.Write(buf); err == nil {
		_, err = io.ReadFull(st, buf)
	}
	if errors.As(err, new(multistream.ErrNotSupported[protocol.ID])) {
		return nil
	}
	return err
}
