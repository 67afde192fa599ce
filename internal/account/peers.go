package account

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/network"
)

// Peers lends to peers. What libp2p refuses because other messages of the peer
// hold it, a peer is lent, up to a bound for each direction; one message on its
// way in may exceed that, which has the turn. So there is always one that becomes
// whole, and no two half-grown ones wait for each other. Safe for concurrent use.
type Peers struct {
	most int64 // of one peer, in each direction
	turn int64 // more than that
	all  int64 // of all peers together, but for turns

	waits    atomic.Int32
	reserved atomic.Int64 // by the accounts of all, of libp2p

	mu    sync.Mutex
	total int64
	peers map[string]*peer
}

// peer is one that was lent something, or of whom somebody waits.
type peer struct {
	in, out int64 // what it was lent
	turn    *Account
	waiting []*waiter
}

type waiter struct {
	account *Account
	ready   chan struct{}
}

const (
	// A peer is lent so many messages of the largest size in each direction, and
	// all peers together so many times that.
	messagesOfPeer = 4
	peersInAll     = 16

	// headersOf is what comes with a message that has the turn: its header, and
	// what it is read into.
	headersOf = 2 << 20
)

// NewPeers returns one for messages of so many bytes at most.
func NewPeers(message int) *Peers {
	size := int64(min(message, math.MaxInt32))
	return &Peers{
		most: messagesOfPeer * size, turn: size + headersOf, all: peersInAll * messagesOfPeer * size,
		peers: make(map[string]*peer),
	}
}

// Held is how many bytes the accounts of all peers have reserved with libp2p, and were
// lent beside those, and how many messages wait for memory.
func (p *Peers) Held() (reserved, lent int64, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reserved.Load(), p.total, int(p.waits.Load())
}

// Share is one peer's, and says whether messages may wait for one another: where
// a stream that is not read holds up nothing else. The zero value lends nothing.
type Share struct {
	peers *Peers
	id    string
	waits bool
}

// Of returns the share of a peer.
func (p *Peers) Of(id string, waits bool) Share { return Share{p, id, waits} }

// released says that libp2p may grant again what it refused.
func (s Share) released() {
	if s.peers != nil && s.peers.waits.Load() > 0 {
		s.peers.mu.Lock()
		defer s.peers.mu.Unlock()
		if d := s.peers.peers[s.id]; d != nil {
			d.wake()
		}
	}
}

// of returns the peer of a.
func (p *Peers) of(a *Account) *peer {
	d := p.peers[a.share.id]
	if d == nil {
		d = new(peer)
		p.peers[a.share.id] = d
	}
	return d
}

// forget drops a peer of which there is nothing to know.
func (p *Peers) forget(a *Account, d *peer) {
	if d.in == 0 && d.out == 0 && d.turn == nil && len(d.waiting) == 0 {
		delete(p.peers, a.share.id)
	}
}

func (p *Peers) lend(a *Account, n int, grows bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.of(a)
	defer p.forget(a, d)
	debt, way := &d.out, "from"
	if grows {
		debt, way = &d.in, "to"
	}
	after, all := *debt+int64(n), p.total+int64(n)
	if after > p.most || all > p.all {
		if !grows || d.turn != nil && d.turn != a || after > p.most+p.turn {
			return fmt.Errorf("messages %s here hold %d bytes that libp2p did not grant their peer, and %d for all peers; %d and %d may be, %d and %d times Limits.MessageSize",
				way, *debt, p.total, p.most, p.all, messagesOfPeer, messagesOfPeer*peersInAll)
		}
		d.turn, a.turn = a, true
	}
	*debt, p.total = after, all
	return nil
}

// repay takes back what was lent. With it the turn may be over: the first that
// waits has the next.
func (p *Peers) repay(a *Account, in, out int, leaves bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.of(a)
	d.in -= int64(in)
	d.out -= int64(out)
	p.total -= int64(in + out)
	if leaves {
		d.turn, a.turn = nil, false
	}
	if next := d.wake(); next != nil && d.turn == nil {
		d.turn, next.turn = next, true
	}
	p.forget(a, d)
}

// wake lets the first that waits try again.
func (d *peer) wake() *Account {
	if len(d.waiting) == 0 {
		return nil
	}
	w := d.waiting[0]
	d.waiting = slices.Delete(d.waiting, 0, 1)
	close(w.ready)
	return w.account
}

// wait returns true when a should try again, and false when it was stopped. One that
// was woken in vain keeps its place before all others.
func (p *Peers) wait(a *Account, woken bool) bool {
	p.mu.Lock()
	d := p.of(a)
	if a.stopped || d.turn == nil {
		if !a.stopped {
			d.turn, a.turn = a, true
		}
		p.forget(a, d)
		p.mu.Unlock()
		return !a.stopped
	}
	w := &waiter{a, make(chan struct{})}
	if woken {
		d.waiting = slices.Insert(d.waiting, 0, w)
	} else {
		d.waiting = append(d.waiting, w)
	}
	p.waits.Add(1)
	p.mu.Unlock()
	<-w.ready
	p.waits.Add(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	return !a.stopped
}

// stop ends the wait of a.
func (p *Peers) stop(a *Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.stopped = true
	d := p.peers[a.share.id]
	if d == nil {
		return
	}
	for i, w := range d.waiting {
		if w.account == a {
			d.waiting = slices.Delete(d.waiting, i, i+1)
			close(w.ready)
			break
		}
	}
	p.forget(a, d)
}

// OfStream returns what the messages of a stream share with the others of its
// peer. They may wait for one another only where a muxer has a window for each
// stream alone: on QUIC, streams that nobody reads hold up their connection.
func (p *Peers) OfStream(st network.Stream) Share {
	c := st.Conn()
	return p.Of(string(c.RemotePeer()), c.ConnState().StreamMultiplexer != "")
}
