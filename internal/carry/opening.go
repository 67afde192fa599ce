package carry

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// opening is a stream that is being opened. If that takes a while the connections of the
// peer are watched, as they are while a call waits for its reply.
type opening struct {
	router *Router
	peer   peer.ID
	cancel context.CancelFunc
	opened atomic.Bool
	silent atomic.Bool

	mu    sync.Mutex
	timer *time.Timer
	over  bool
	conns []network.Conn
}

// open opens a stream, or reports that a connection to the peer is silent.
func (r *Router) open(ctx context.Context, p peer.ID, protocols []protocol.ID) (st network.Stream, silent bool, err error) {
	ctx, cancel := context.WithCancel(r.awaitDirect(ctx, p))
	defer cancel()
	defer context.AfterFunc(r.Over, cancel)()
	o := &opening{router: r, peer: p, cancel: cancel}
	if tick := r.monitor.Tick(); tick > 0 {
		o.mu.Lock()
		o.timer = time.AfterFunc(tick/2, o.look)
		o.mu.Unlock()
		defer o.end()
	}
	st, err = r.Host.NewStream(ctx, p, protocols...)
	o.opened.Store(err == nil)
	return st, o.silent.Load(), err
}

// look watches the connections that there are. Others may come.
func (o *opening) look() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	for _, c := range o.router.Host.Network().ConnsToPeer(o.peer) {
		if !slices.Contains(o.conns, c) {
			o.conns = append(o.conns, c)
			o.router.monitor.Watch(c, o)
		}
	}
	o.timer.Reset(o.router.monitor.Tick())
}

func (o *opening) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.timer.Stop()
	for _, c := range o.conns {
		o.router.monitor.Unwatch(c, o)
	}
}

// Moved is that of [live.User].
func (o *opening) Moved() (received, sent int64) {
	if o.opened.Load() {
		return 1, 0
	}
	return 0, 0
}

// Silent is that of [live.User].
func (o *opening) Silent() { o.silent.Store(true) }

// Abort is that of [live.User]. The stream may be one of another connection: then it is
// opened again.
func (o *opening) Abort() { o.cancel() }
