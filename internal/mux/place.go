package mux

import (
	"encoding/binary"
)

// maxDataHead is how long the head of a data frame is at most.
const maxDataHead = 1 + binary.MaxVarintLen64

// nextInPlace reads a frame of n bytes into the message that it is a further
// piece of, if there is one that has room for it: nothing is copied then. It
// reports false if the frame is to be read otherwise. arrived follows.
func (c *conn) nextInPlace(n int) (f frame, ok bool, err error) {
	if n <= maxDataHead {
		return f, false, nil
	}
	b, err := c.br.Peek(maxDataHead)
	if err != nil {
		return f, false, err
	}
	id, size := binary.Uvarint(b[1:])
	if kind(b[0]) != kindData || size <= 0 {
		return f, false, nil
	}
	head := 1 + size
	in := c.place(id, n-head)
	if in == nil {
		return f, false, nil
	}
	// The frame's head comes in place of the last bytes before, which are put
	// back: msgio reads frames whole.
	var last [maxDataHead]byte
	at := len(in.buf) - head
	dst := in.buf[at : at+n]
	copy(last[:], dst[:head])
	if _, err = c.msgs.Read(dst); err == nil {
		f, err = parseFrame(dst, 0)
	}
	copy(dst[:head], last[:])
	f.placed = in
	c.whole.Store(c.consumed())
	return f, true, asProtocol(err)
}

// place returns the message of which a piece of n bytes is to come, if there is
// room for it.
func (c *conn) place(id uint64, n int) *inbound {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !c.settled {
		return nil
	}
	in := c.side.receiving(id)
	if in == nil || in.skip || n > in.total-in.got || len(in.buf) < maxDataHead {
		return nil
	}
	r, err := c.roomFor(in, in.got+n)
	if err != nil {
		return nil
	}
	in.reading = true
	if r.size > 0 {
		c.mu.Unlock() // to copy and to zero much takes long
		grown := r.with(in.buf)
		c.mu.Lock()
		c.moveTo(in, grown, r.exact)
	}
	return in
}

// arrived ends the reading into a message, which may have been dropped
// meanwhile. The mutex is held.
func (c *conn) arrived(f *frame) {
	in := f.placed
	if in == nil {
		return
	}
	in.reading = false
	if in.skip {
		c.drop(in)
	}
}

// covered reports whether the next frame, of n bytes, has bytes of a streaming call that
// its window accounts for. The mutex is held.
func (c *conn) covered(n int) bool {
	b, err := c.br.Peek(maxDataHead) // which are there, or come
	if err != nil || kind(b[0]) != kindBytes && kind(b[0]) != kindEnd {
		return false
	}
	id, size := binary.Uvarint(b[1:])
	f := c.side.flowOf(id)
	return size > 0 && f != nil && f.inErr == nil && n-1-size <= f.granted
}
