// Package account counts the memory that messages take: it reserves it with
// libp2p's resource manager as they grow, and lends a peer some when libp2p has
// granted all to other messages of the same peer.
package account

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// Memory grants memory; a libp2p stream's scope is one.
type Memory interface {
	ReserveMemory(size int, prio uint8) error
	ReleaseMemory(size int)
}

// reserveAlways is libp2p's network.ReservationPriorityAlways: up to the limit
// itself, for what is reserved here is memory about to be used.
const reserveAlways = 255

// Account is what one stream holds. Its methods are not safe for concurrent use,
// but for Stop.
type Account struct {
	mem   Memory
	share Share
	free  int // bytes that are not reserved: libp2p counts the stream itself
	step  int // bytes that are reserved at least
	spare int // bytes that may stay reserved for later

	used     int // bytes
	reserved int // of them, those that Memory granted
	in, out  int // and those that the peer was lent, for either way

	// turn says that it may exceed what a peer is lent. Another account's goroutine
	// sets it only while this one's waits.
	turn bool

	until context.Context // ends its waits; nil: only Stop does

	// Under the mutex of Peers.
	stopped bool
}

// Init makes a count what it holds beyond free bytes with mem, step bytes at a
// time at least.
func (a *Account) Init(mem Memory, free, step int) {
	*a = Account{mem: mem, free: free, step: step, spare: 8 * step}
}

// Share makes a borrow from what its peer is lent.
func (a *Account) Share(s Share) { a.share = s }

// Used is how many bytes it holds.
func (a *Account) Used() int { return a.used }

// InDebt reports whether others of the peer may be waiting for what it holds.
func (a *Account) InDebt() bool { return a.in+a.out > 0 || a.turn }

// Hold counts n more bytes, of a message on its way out that takes whole bytes.
func (a *Account) Hold(n, whole int) error { return a.take(n, whole, false) }

// Grow counts n more bytes, of a message on its way in that will take whole bytes
// at least. One message of a peer may always grow.
func (a *Account) Grow(n, whole int) error { return a.take(n, whole, true) }

// WaitUntil makes the end of ctx stop its waits. ctx is asked for its end only when
// it waits.
func (a *Account) WaitUntil(ctx context.Context) { a.until = ctx }

// GrowOrWait is Grow, and waits for another message of the peer if that can help.
func (a *Account) GrowOrWait(n, whole int) error {
	for woken := false; ; woken = true {
		err := a.Grow(n, whole)
		if !a.share.waits || !IsPassing(err) || a.turn {
			return err
		}
		if a.until != nil && !woken {
			defer context.AfterFunc(a.until, a.Stop)()
		}
		if !a.share.peers.wait(a, woken) {
			return ErrStopped
		}
	}
}

// Stop ends a wait, and makes all later ones fail. It is safe at any time.
func (a *Account) Stop() {
	if a.share.peers != nil {
		a.share.peers.stop(a)
	}
}

func (a *Account) take(n, whole int, grows bool) error {
	if more := a.used + n - a.free - a.reserved - a.in - a.out; more > 0 {
		if err := a.reserve(more, whole, grows); err != nil {
			return err
		}
	}
	a.used += n
	return nil
}

func (a *Account) reserve(n, whole int, grows bool) error {
	size := max(n, a.step)
	err := a.mem.ReserveMemory(size, reserveAlways)
	if err != nil && size > n {
		size = n
		err = a.mem.ReserveMemory(size, reserveAlways)
	}
	if err == nil {
		a.hasReserved(size)
		return nil
	}
	limit, known := limitOf(err)
	e := &RefusedError{Err: err, Never: known && int64(whole-a.free) > limit}
	if !known || e.Never || a.share.peers == nil {
		return e
	}
	e.Passing = true
	if err := a.share.peers.lend(a, n, grows); err != nil {
		e.Err = fmt.Errorf("%w: %w", err, e.Err)
		return e
	}
	if grows {
		a.in += n
	} else {
		a.out += n
	}
	return nil
}

// reserveSpare is how much of its limit libp2p grants to what can do without.
const reserveSpare = 127

// Spare counts n more bytes if libp2p grants them and has as much left for others; it
// borrows nothing.
func (a *Account) Spare(n int) bool {
	if more := a.used + n - a.free - a.reserved - a.in - a.out; more > 0 {
		size := max(more, a.step)
		if a.mem.ReserveMemory(size, reserveSpare) != nil {
			return false
		}
		a.hasReserved(size)
	}
	a.used += n
	return true
}

// hasReserved notes that Memory has granted n bytes, or with a negative n got them back.
func (a *Account) hasReserved(n int) {
	a.reserved += n
	if a.share.peers != nil {
		a.share.peers.reserved.Add(int64(n))
	}
}

// Release gives n bytes back. Some may stay reserved for what comes next.
func (a *Account) Release(n int) {
	a.used -= n
	a.settle(a.spare)
}

// Trim gives back what stayed reserved.
func (a *Account) Trim() { a.settle(0) }

// Close gives everything back.
func (a *Account) Close() {
	a.used = 0
	a.settle(0)
}

// End gives everything back, and still counts what is in use until it is
// released: the stream has ended, and its messages are with those who read them.
func (a *Account) End() {
	used := a.used
	a.Close()
	a.used = used
}

// settle pays debts first, then gives back what is reserved beyond spare.
func (a *Account) settle(spare int) {
	surplus := max(a.reserved+a.in+a.out-max(a.used-a.free, 0), 0)
	in := min(surplus, a.in)
	out := min(surplus-in, a.out)
	a.in, a.out, surplus = a.in-in, a.out-out, surplus-in-out
	if leaves := a.turn && a.in == 0; in+out > 0 || leaves {
		a.share.peers.repay(a, in, out, leaves)
	}
	if surplus > spare {
		surplus -= spare / 2
		a.mem.ReleaseMemory(surplus)
		a.hasReserved(-surplus)
		a.share.released()
	}
}

// ErrMemory is what every [RefusedError] is.
var ErrMemory = errors.New("no memory granted")

// ErrStopped says that a wait was ended by [Account.Stop].
var ErrStopped = errors.New("the call has ended")

// RefusedError says that memory was not granted.
type RefusedError struct {
	Err     error // libp2p's
	Never   bool  // the message is larger than the limit, whatever others hold
	Passing bool  // there would be enough if others had ended
}

func (e *RefusedError) Error() string { return ErrMemory.Error() + ": " + e.Err.Error() }

func (e *RefusedError) Unwrap() []error { return []error{ErrMemory, e.Err} }

// IsPassing reports whether err is a refusal that others are the reason of.
func IsPassing(err error) bool {
	if err == nil {
		return false // without the allocation
	}
	var e *RefusedError
	return errors.As(err, &e) && e.Passing
}

// IsForGood reports whether err is a refusal that would be the same again.
func IsForGood(err error) bool {
	var e *RefusedError
	return errors.As(err, &e) && e.Never
}

// limitOf returns the limit that libp2p's refusal is about. The type is libp2p's,
// and its fields are not exported: where they have changed nothing is lent.
func limitOf(err error) (limit int64, ok bool) {
	var over *rcmgr.ErrMemoryLimitExceeded
	if !errors.As(err, &over) {
		return 0, false
	}
	f := reflect.ValueOf(over).Elem().FieldByName("limit")
	if !f.IsValid() || !f.CanInt() {
		return 0, false
	}
	return f.Int(), true
}
