package carry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// waiting is a stream that is being opened. If that takes a while the connections of the
// peer are watched, as they are while a call waits for its reply.
type waiting struct {
	router *Router
	peer   peer.ID
	cancel context.CancelFunc
	timer  *time.Timer
	silent atomic.Bool

	mu    sync.Mutex
	ended bool
	conns []network.Conn
}

// watch begins to wait for a stream of p; over follows.
func (r *Router) watch(p peer.ID, cancel context.CancelFunc) *waiting {
	w := &waiting{router: r, peer: p, cancel: cancel}
	if tick := r.monitor.Tick(); tick > 0 {
		w.timer = time.AfterFunc(tick/2, w.begin)
	}
	return w
}

func (w *waiting) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.conns = w.router.Host.Network().ConnsToPeer(w.peer)
	for _, c := range w.conns {
		w.router.monitor.Watch(c, w)
	}
}

// over ends the wait, and reports whether a connection was silent.
func (w *waiting) over() (silent bool) {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, c := range w.conns {
		w.router.monitor.Unwatch(c, w)
	}
	return w.silent.Load()
}

// Moved is that of [live.User].
func (*waiting) Moved() (received, sent int64) { return 0, 0 }

// Silent is that of [live.User]. The stream may be one of another connection; another
// attempt uses that.
func (w *waiting) Silent() {
	w.silent.Store(true)
	w.cancel()
}
