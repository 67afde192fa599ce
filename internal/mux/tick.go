package mux

import (
	"encoding/binary"
	"fmt"
	"time"
)

// everySoOften is how long a tick takes.
func (c *conn) everySoOften() (d time.Duration) {
	for _, part := range []time.Duration{c.lim.Silence / silenceTicks, c.lim.Progress / 4, c.lim.Idle / 4, c.lim.Settings / 4, c.lim.Queue / 4} {
		if part > 0 && (d == 0 || part < d) {
			d = part
		}
	}
	return d
}

// silenceTicks is how many ticks a silence has at least. Up to two pass before the first
// ping, from which it counts.
const silenceTicks = 10

// over reports whether so many ticks are d, less the one under way.
func (c *conn) over(ticks int, d time.Duration) bool {
	return d > 0 && time.Duration(ticks+1)*c.interval >= d
}

// lively is how many bytes, taken between two ticks, tell that the peer lives. A
// frozen one's may be taken by what is on the way to it, until that is full.
const lively = 16 << 10

// tick looks after everything that takes time: a peer that is silent or does
// not read, messages that do not go on, idleness, and memory kept for nothing.
func (c *conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.ticks++
	read := c.read.Load()
	calls := c.side.calls() > 0
	if !calls {
		c.tell(false)
	}
	busy := calls || read != c.whole.Load()
	// Who takes a lot lives, though the ping may be behind all of it.
	unheard := (busy || c.quiet > 0) && read == c.lastRead // who is in doubt is asked until there is an answer
	c.quiet = countIf(c.quiet, unheard && c.handed-c.lastSent < lively)
	c.stuck = countIf(c.stuck, c.writing && c.handed == c.lastSent)
	c.idle = countIf(c.idle, read == c.lastRead && !busy)
	c.lastRead, c.lastSent = read, c.handed
	switch {
	case c.lim.Silence > 0 && time.Duration(c.quiet)*c.interval > c.lim.Silence: // since the ping, in the first
		c.end(ErrSilent)
		return
	case c.over(c.stuck, c.lim.Progress):
		c.end(ErrStalled)
		return
	case c.over(c.pace.ticked(!c.queue.empty() && !c.pace.open()), c.lim.Progress):
		c.end(ErrStalled)
		return
	case !c.settled && c.over(int(c.ticks), c.lim.Settings):
		c.end(fmt.Errorf("%w: no settings", ErrStalled))
		return
	case c.over(c.idle, c.lim.Idle):
		c.idle = 0
		c.side.idled()
	case unheard && c.lim.Silence > 0:
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(c.ticks))
		c.add(kindPing, nil, b[:])
	}
	for in := range c.partial {
		if in.quiet++; c.over(in.quiet, c.lim.Progress) {
			c.side.failed(in, ErrStalled)
		}
	}
	if c.err != nil {
		return
	}
	c.side.ticked()
	if c.closing && c.side.calls() == 0 { // though there may always be a pong to send
		if c.side.done(); c.err != nil {
			return
		}
	}
	c.account.Trim()
	c.kick(false, false)
	c.timer.Reset(c.interval)
}

// tell tells whether there are calls, if that is news.
func (c *conn) tell(busy bool) {
	if c.lim.Busy != nil && c.busy != busy {
		c.busy = busy
		c.lim.Busy(busy)
	}
}

func countIf(n int, more bool) int {
	if more {
		return n + 1
	}
	return 0
}
