package rpc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"
)

// libp2p knows of messages, and gets their memory back when they are decoded.
// What they were decoded to is in this account, of each peer by itself: in a
// server an argument until the method has returned, and an item of a stream
// until the method takes it; in a client a reply until the caller has it.

// unaccounted is how much a decoded argument, reply or item may take before it is
// in the account. Small calls do not touch it.
const unaccounted = 16 << 10

// decodeAccount is that of a server or of a client.
type decodeAccount struct {
	most uint64 // for each peer

	mu    sync.Mutex
	peers map[peer.ID]uint64 // what is held; no zeros
}

func (a *decodeAccount) init(l *Limits) {
	a.most, a.peers = uint64(l.DecodedPerPeer), make(map[peer.ID]uint64)
}

// holding is what one call holds of a peer's account. take and release are safe
// for concurrent use with free.
type holding struct {
	account *decodeAccount
	peer    peer.ID
	held    atomic.Uint64 // changes with the account locked
}

// take adds n bytes if the peer then has no more than most of the account.
func (h *holding) take(n, most uint64) error {
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	have := a.peers[h.peer]
	if have+n > most {
		return &accountError{need: n, held: have, most: a.most}
	}
	a.peers[h.peer] = have + n
	h.held.Add(n)
	return nil
}

// takeLarge is take of all that there is, for what is accounted for.
func (h *holding) takeLarge(n uint64) error {
	if n <= unaccounted {
		return nil
	}
	return h.take(n, h.account.most)
}

// free gives n bytes back, unless release has.
func (h *holding) free(n uint64) {
	if n == 0 {
		return
	}
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	n = min(n, h.held.Load())
	h.held.Store(h.held.Load() - n)
	if left := a.peers[h.peer] - n; left > 0 {
		a.peers[h.peer] = left
	} else {
		delete(a.peers, h.peer)
	}
}

// release gives everything back: the call is over.
func (h *holding) release() {
	h.free(h.held.Load())
}

// accountError says that a message would take too much of a peer's account.
type accountError struct{ need, held, most uint64 }

func (e *accountError) Error() string {
	return fmt.Sprintf("it takes %d bytes when it is decoded, the peer's other calls hold %d, and %d may be held; Limits.DecodedPerPeer sets it",
		e.need, e.held, e.most)
}

// passes reports whether it is not the message's own size that is over the limit.
func (e *accountError) passes() bool { return e.need <= e.most }

// charge is what an item of a stream holds. Whoever hands it on takes the charge
// over, or leaves it to the source, which gives it back when it is asked for the
// next item.
type charge struct {
	of *holding
	n  uint64
}

// taken returns the charge, which the source has no longer.
func (c *charge) taken() (of *holding, n uint64) {
	if c == nil {
		return nil, 0
	}
	n, c.n = c.n, 0
	return c.of, n
}

func (c *charge) free() {
	of, n := c.taken()
	of.free(n)
}

// held is the link of the chain in which arguments are accounted for: it gives
// them back when the method has returned, before the caller gets the reply and
// may make another call.
func held(next Handler) Handler {
	return func(ctx context.Context, call *CallInfo) error {
		defer func() {
			call.Args = nil // or it would be held while the reply is sent
			call.remote.holding().release()
		}()
		return next(ctx, call)
	}
}
