package admit

import (
	"sync"
	"sync/atomic"
)

// Calls are the calls of all peers that were let in, up to a number. Who decides by
// rules that may change reads Epoch before, and Enter after. Its methods are safe
// for concurrent use.
type Calls[C any] struct {
	most  int
	epoch atomic.Uint64
	mu    sync.Mutex
	n     int
	first *Entry[C]
}

// Entry is a call's place in the list. It belongs to one call.
type Entry[C any] struct {
	Call       C
	prev, next *Entry[C]
}

// Init sets how many calls there may be.
func (c *Calls[C]) Init(most int) { c.most = most }

// Most is how many calls there may be.
func (c *Calls[C]) Most() int { return c.most }

// Epoch counts how often the rules have changed.
func (c *Calls[C]) Epoch() uint64 { return c.epoch.Load() }

// What comes of Enter.
const (
	Entered = iota
	Full
	Stale // the rules have changed since the epoch
)

// Enter lets a call in that was found to be allowed in an epoch.
func (c *Calls[C]) Enter(e *Entry[C], epoch uint64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.n >= c.most:
		return Full
	case c.epoch.Load() != epoch:
		return Stale
	}
	c.n++
	if e.next = c.first; e.next != nil {
		e.next.prev = e
	}
	c.first = e
	return Entered
}

// Leave ends a call that has entered.
func (c *Calls[C]) Leave(e *Entry[C]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		c.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// Changed begins a new epoch, and returns the calls that have entered before it.
func (c *Calls[C]) Changed() (all []C) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch.Add(1)
	c.each(func(k C) { all = append(all, k) })
	return all
}

// Each calls f with the calls that have entered, the latest first. None of them leaves
// meanwhile, and f must not call c.
func (c *Calls[C]) Each(f func(C)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.each(f)
}

func (c *Calls[C]) each(f func(C)) {
	for e := c.first; e != nil; e = e.next {
		f(e.Call)
	}
}
