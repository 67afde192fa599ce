package flow

import (
	"reflect"
	"time"
)

// channel is a channel of whatever type, and what its user waits for beside
// it.
type channel interface {
	// tryReceive returns an item if there is one. A closed channel is not open.
	tryReceive() (it Item, ok, open bool)
	// receive waits for one of the cases. The item is good until the next.
	receive() (it Item, chosen int, open bool)
	trySend(it Item) bool
	// send waits for one of the cases.
	send(it Item) (chosen int)
	fresh() Item
	len() int
	// forget lets go of the item that was received or sent last.
	forget()
	close()
	// lastOn sets what the last case is: a channel of structs or of times, or
	// nil.
	lastOn(ch any)
	// discardReady receives the items that are there, without waiting. It and
	// discard leave alone the item received last, which may still be in use.
	discardReady() (open bool)
	// discard receives until the channel or last is closed.
	discard(last <-chan struct{})
}

// The cases that a channel's user waits for.
const (
	caseItem = iota
	caseStop
	caseCanceled
	caseLast
)

// newChannel returns a channel without reflection for the types that small
// items mostly are.
func newChannel(ch reflect.Value, stop, canceled <-chan struct{}) channel {
	c := ch.Interface()
	for _, native := range natives {
		if n := native(c, stop, canceled); n != nil {
			return n
		}
	}
	return newReflectChannel(ch, stop, canceled)
}

var natives = []func(ch any, stop, canceled <-chan struct{}) channel{
	native[[]byte], native[string], native[int], native[int64], native[uint64], native[float64], native[bool],
}

// nativeChannel is a channel of T, which is no pointer or interface.
type nativeChannel[T any] struct {
	in             <-chan T
	out            chan<- T
	stop, canceled <-chan struct{}
	last           <-chan struct{}
	late           <-chan time.Time // is last, if it is set
	item           T
}

// native returns nil for channels of other types.
func native[T any](ch any, stop, canceled <-chan struct{}) channel {
	n := &nativeChannel[T]{stop: stop, canceled: canceled}
	switch ch := ch.(type) {
	case chan T:
		n.in, n.out = ch, ch
	case <-chan T:
		n.in = ch
	case chan<- T:
		n.out = ch
	default:
		return nil
	}
	return n
}

func (n *nativeChannel[T]) tryReceive() (it Item, ok, open bool) {
	select {
	case n.item, open = <-n.in:
		return Item{Ptr: &n.item}, open, open
	default:
		return it, false, true
	}
}

func (n *nativeChannel[T]) receive() (it Item, chosen int, open bool) {
	n.forget()
	select {
	case n.item, open = <-n.in:
		return Item{Ptr: &n.item}, caseItem, open
	case <-n.stop:
		return it, caseStop, true
	case <-n.canceled:
		return it, caseCanceled, true
	case <-n.last:
		return it, caseLast, true
	}
}

func (n *nativeChannel[T]) valueOf(it Item) T {
	if own, ok := it.Ptr.(*T); ok {
		return *own
	}
	return assigned[T](it.Reflected())
}

func (n *nativeChannel[T]) forget() {
	var zero T
	n.item = zero
}

func (n *nativeChannel[T]) trySend(it Item) bool {
	select {
	case n.out <- n.valueOf(it):
		return true
	default:
		return false
	}
}

func (n *nativeChannel[T]) send(it Item) (chosen int) {
	select {
	case n.out <- n.valueOf(it):
		return caseItem
	case <-n.stop:
		return caseStop
	case <-n.canceled:
		return caseCanceled
	case <-n.last:
		return caseLast
	case <-n.late:
		return caseLast
	}
}

func (n *nativeChannel[T]) fresh() Item {
	n.forget()
	return Item{Ptr: &n.item}
}

func (n *nativeChannel[T]) len() int { return len(n.in) }

func (n *nativeChannel[T]) close() { close(n.out) }

func (n *nativeChannel[T]) lastOn(ch any) {
	n.last, _ = ch.(<-chan struct{})
	n.late, _ = ch.(<-chan time.Time)
}

func (n *nativeChannel[T]) discardReady() (open bool) {
	for range len(n.in) + 1 { // and the end
		select {
		case _, open = <-n.in:
			if !open {
				return false
			}
		default:
			return true
		}
	}
	return true
}

func (n *nativeChannel[T]) discard(last <-chan struct{}) {
	in := n.in // n has the item received last, and a wait may be long
	for open := true; open; {
		select {
		case _, open = <-in:
		case <-last:
			return
		}
	}
}
