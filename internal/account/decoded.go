package account

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// libp2p knows of messages, and gets their memory back when they are decoded.
// What they were decoded to is in this account, of each peer by itself: in a
// server an argument until the method has returned, and an item of a stream
// until the method takes it; in a client a reply until the caller has it.

// Unaccounted is how much a decoded argument, reply or item may take before it is
// in the account. Small calls do not touch it.
const Unaccounted = 16 << 10

// Decoded is that of a server or of a client.
type Decoded struct {
	most uint64 // for each peer

	turn sync.Mutex // of those that decode again

	mu    sync.Mutex
	peers map[string]uint64 // what is held; no zeros
	brief map[string]uint64 // of it, for as long as messages are decoded; no zeros
	freed sync.Cond         // somebody has less in brief
}

func (a *Decoded) Init(most int) {
	a.most, a.peers, a.brief = uint64(most), make(map[string]uint64), make(map[string]uint64)
	a.freed.L = &a.mu
}

// Held is how many bytes all peers hold.
func (a *Decoded) Held() (n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, held := range a.peers {
		n += held
	}
	return n
}

// Holding is what one call holds of a peer's account. Its methods are safe for
// concurrent use.
type Holding struct {
	account *Decoded
	peer    string
	brief   bool          // until one message is decoded, which waits for nothing
	held    atomic.Uint64 // changes with the account locked
}

// Of returns the holding of one call of a peer, whose ID is the key.
func (a *Decoded) Of(peer string) Holding { return Holding{account: a, peer: peer} }

var holdings = sync.Pool{New: func() any { return new(Holding) }}

// While calls decode with a holding of the peer that lasts until decode returns. What
// has no room because other messages of the peer are being decoded is decoded again,
// one after the other: that they end is certain, and the message need not be lost.
func (a *Decoded) While(peer string, decode func(*Holding) error) error {
	h := holdings.Get().(*Holding)
	h.account, h.peer, h.brief = a, peer, true
	defer func() {
		h.Release()
		h.account, h.peer = nil, ""
		holdings.Put(h)
	}()
	err := decode(h)
	if !othersPass(err) {
		return err
	}
	h.Release() // two that keep what they have would wait for each other
	a.turn.Lock()
	defer a.turn.Unlock()
	for {
		a.waitForOthers(peer)
		if err = decode(h); !othersPass(err) {
			return err
		}
		h.Release()
	}
}

// othersPass reports whether a message had no room beside others that were being
// decoded.
func othersPass(err error) bool {
	full, ok := errors.AsType[*DecodedError](err)
	return ok && full.Passes() && full.others
}

// waitForOthers waits until some of what is being decoded for the peer is no longer
// held, or nothing is.
func (a *Decoded) waitForOthers(peer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.brief[peer] > 0 {
		a.freed.Wait()
	}
}

// Take adds n bytes if the peer then has no more than most of the account.
func (h *Holding) Take(n, most uint64) error {
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	have := a.peers[h.peer]
	if have+n > most {
		others := h.brief && a.brief[h.peer] > h.held.Load()
		return &DecodedError{need: n, held: have, most: a.most, others: others}
	}
	a.peers[h.peer] = have + n
	if h.brief {
		a.brief[h.peer] += n
	}
	h.held.Add(n)
	return nil
}

// TakeLarge is take of all that there is, for what is accounted for.
func (h *Holding) TakeLarge(n uint64) error {
	if n <= Unaccounted {
		return nil
	}
	return h.Take(n, h.account.most)
}

// More takes what is missing from have bytes, which one message of the call holds,
// to want. Small messages are not accounted for.
func (h *Holding) More(have, want uint64) error {
	if want <= Unaccounted {
		return nil
	}
	err := h.Take(want-have, h.account.most)
	if e, ok := err.(*DecodedError); ok {
		e.need, e.held = want, e.held-have
	}
	return err
}

// Free gives n bytes back, unless release has.
func (h *Holding) Free(n uint64) {
	if n == 0 {
		return
	}
	a := h.account
	a.mu.Lock()
	defer a.mu.Unlock()
	n = min(n, h.held.Load())
	h.held.Store(h.held.Load() - n)
	give(a.peers, h.peer, n)
	if h.brief {
		give(a.brief, h.peer, n)
		a.freed.Broadcast()
	}
}

func give(held map[string]uint64, peer string, n uint64) {
	if held[peer] > n {
		held[peer] -= n
	} else {
		delete(held, peer)
	}
}

// Release gives everything back: the call is over.
func (h *Holding) Release() {
	h.Free(h.held.Load())
}

// DecodedError says that a message would take too much of a peer's account.
type DecodedError struct {
	need, held, most uint64
	others           bool // a part is held by messages that are being decoded
}

func (e *DecodedError) Error() string {
	return fmt.Sprintf("it takes %d bytes when it is decoded, the peer's other calls hold %d, and %d may be held; Limits.DecodedPerPeer sets it",
		e.need, e.held, e.most)
}

// Passes reports whether it is not the message's own size that is over the limit.
func (e *DecodedError) Passes() bool { return e.need <= e.most }

// Charge is what an item of a stream holds. Whoever hands it on takes the Charge
// over, or leaves it to the source, which gives it back when it is asked for the
// next item.
type Charge struct {
	Of *Holding
	N  uint64
}

// Taken returns the Charge, which the source has no longer.
func (c *Charge) Taken() (of *Holding, n uint64) {
	if c == nil {
		return nil, 0
	}
	n, c.N = c.N, 0
	return c.Of, n
}

func (c *Charge) Free() {
	of, n := c.Taken()
	of.Free(n)
}
