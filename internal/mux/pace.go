package mux

import (
	"encoding/binary"
	"time"
)

// Whoever reads a session reads it in order: a small reply comes after all that
// was sent before it. So no more of large messages is on its way than the link
// needs to be busy. How much that is is found out by pings among the pieces,
// whose answers tell what has been read, and how fast.
const (
	// leastRoom is what may be on its way whatever was found out: what the muxers
	// allow at first.
	leastRoom = 256 << 10
	mostRoom  = 64 << 20

	// slack is for how long the other side may be busy with something else.
	slack = time.Millisecond

	// markEvery is how many bytes are between two pings at least.
	markEvery = 128 << 10

	// paceBit tells the pings of the pace from those that ask for life.
	paceBit = 1 << 63
)

// pacer knows of the pieces of large messages that are on their way.
type pacer struct {
	sent, read uint64 // bytes so far
	room       uint64 // how much the one may be ahead of the other
	marks      []mark // on their way
	last       mark
	rate       float64       // bytes a second
	least      time.Duration // that a ping has taken

	lastRead uint64 // at the last tick
	stuck    int    // ticks without a byte read, while there was no room
}

// mark is a ping.
type mark struct {
	number uint64
	when   time.Time
	sent   uint64 // at that time
	read   uint64
	full   bool // there was no room after it
}

// open reports whether there is room for a piece.
func (p *pacer) open() bool {
	if p.sent-p.read < max(p.room, leastRoom) {
		return true
	}
	if n := len(p.marks); n > 0 {
		p.marks[n-1].full = true
	}
	return false
}

// count counts a piece that is about to be sent, and appends a ping if it is
// time for one.
func (p *pacer) count(b []byte, n int) []byte {
	p.sent += uint64(n)
	if p.sent-p.last.sent < max(markEvery, p.room/4) {
		return b
	}
	return appendFrame(b, kindPing, nil, p.mark())
}

func (p *pacer) mark() []byte {
	p.last = mark{number: p.last.number + 1, when: time.Now(), sent: p.sent, read: p.read}
	p.marks = append(p.marks, p.last)
	return binary.BigEndian.AppendUint64(nil, paceBit|p.last.number)
}

// overdue reports whether no answer is to come that would make room: there is
// less of it than there was when the last ping was sent.
func (p *pacer) overdue() bool { return !p.open() && len(p.marks) == 0 }

// answered takes the answer to a ping. All that was sent before has been read.
func (p *pacer) answered(body []byte) {
	number := binary.BigEndian.Uint64(body)
	for i, m := range p.marks {
		if paceBit|m.number != number {
			continue
		}
		p.marks = append(p.marks[:0], p.marks[i+1:]...)
		took := max(time.Since(m.when), time.Microsecond)
		if p.least == 0 || took < p.least {
			p.least = took
		}
		// A slower rate counts only if it was not for want of something to send.
		rate := float64(m.sent-m.read) / took.Seconds()
		if rate > p.rate || m.full {
			p.rate = rate
		}
		p.read = m.sent
		p.room = uint64(min(p.rate*(2*p.least+slack).Seconds(), mostRoom))
		return
	}
}

// ticked reports whether the other side has read nothing for so many ticks.
func (p *pacer) ticked(waiting bool) int {
	p.stuck = countIf(p.stuck, waiting && p.read == p.lastRead)
	p.lastRead = p.read
	return p.stuck
}
