package carry

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// transfers knows which streaming methods of which peers move much. Their calls are
// made on streams of their own: on a session's stream each packet that they lose would
// hold up all others, and each byte that waits to be sent is before those of others.
type transfers struct {
	mu    sync.Mutex
	long  map[transfer]struct{}
	apart map[peer.ID]int // calls of these that are under way
}

type transfer struct {
	peer peer.ID
	id   call.ID
}

const (
	// mostApart is how many such calls of a peer have their own streams, of which
	// libp2p's default limits allow some 75; others are made on the session.
	mostApart = 16

	// mostTransfers is how many methods are remembered.
	mostTransfers = 1 << 10
)

// isLong says that a call has moved much.
func (t *transfers) isLong(k *call.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.long == nil || len(t.long) >= mostTransfers {
		t.long = make(map[transfer]struct{})
	}
	t.long[transfer{k.Peer, k.ID}] = struct{}{}
}

// begin reports whether a call is to have its own stream; end follows then.
func (t *transfers) begin(k *call.Call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, long := t.long[transfer{k.Peer, k.ID}]; !long || t.apart[k.Peer] >= mostApart {
		return false
	}
	if t.apart == nil {
		t.apart = make(map[peer.ID]int)
	}
	t.apart[k.Peer]++
	return true
}

// end forgets the method of a call that has moved little.
func (t *transfers) end(k *call.Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.apart[k.Peer]--; t.apart[k.Peer] == 0 {
		delete(t.apart, k.Peer)
	}
	if k.Moved < call.LongTransfer {
		delete(t.long, transfer{k.Peer, k.ID})
	}
}
