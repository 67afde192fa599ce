package mux

import (
	"fmt"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// inbound is a message on its way in.
type inbound struct {
	frame []byte // the buffer of the first frame; kept, for somebody may be reading it
	grown []byte // the buffer of more than that
	buf   []byte // what has come, in one of them
	total int
	got   int
	quiet int  // ticks without a piece
	skip  bool // nobody wants it
	keep  bool // who gets it wants to keep it
	exact bool // so grown is as large as the message, and not of the pool
	held  int  // what is accounted for it

	reading bool // a piece is being read into it, without the mutex
}

// start takes the first piece, and with it the frame's buffer.
func (c *conn) start(in *inbound, f *frame, frame []byte) error {
	in.total, in.got = int(f.num), f.size
	err := f.lost
	if err == nil && !in.skip {
		err = c.account.Grow(cap(frame)-f.held, cap(frame))
	}
	if err != nil || in.skip {
		account.FreeBuffer(frame)
		return err
	}
	f.held, in.held = 0, cap(frame)
	in.frame, in.buf = frame, f.body
	if !in.whole() {
		c.partial[in] = struct{}{}
	}
	return nil
}

func (in *inbound) whole() bool { return in.got == in.total }

// growth is how many times what has come is made room for. From a piece it goes
// to a quarter of a MiB at once: most messages are copied no more than once.
const growth = 8

// more takes the next piece. The buffer grows with what has come, whatever was
// announced.
func (c *conn) more(in *inbound, f *frame) error {
	if left := in.total - in.got; f.size > left {
		return fmt.Errorf("%w: %d bytes more than a message has", ErrProtocol, f.size-left)
	}
	in.got += f.size
	in.quiet = 0
	switch {
	case in.skip:
		return nil
	case f.lost != nil:
		return f.lost
	case f.placed != nil:
		in.buf = in.buf[:in.got]
	default:
		r, err := c.roomFor(in, in.got)
		if err != nil {
			return err
		}
		if r.size > 0 {
			c.moveTo(in, r.with(in.buf), r.exact)
		}
		in.buf = append(in.buf, f.body...)
	}
	if in.whole() {
		delete(c.partial, in)
	}
	return nil
}

// room is what a message is to be moved to.
type room struct {
	size  int  // 0: it has enough
	exact bool // see inbound
}

// roomFor accounts for room for n bytes of a message, and as a rule for more: for
// what it is more than the room before, which is given up as soon as it is moved.
func (c *conn) roomFor(in *inbound, n int) (r room, err error) {
	if in.grown != nil && n <= cap(in.grown) {
		return r, nil
	}
	r.size = in.total
	if n < r.size/growth {
		r.size = min(r.size, max(growth*n, step))
	}
	r.exact = in.keep && r.size == in.total
	more := r.held() - cap(in.grown)
	if err = c.account.Grow(more, cap(in.frame)+in.total); err == nil {
		in.held += more
	}
	return r, err
}

// held is how much memory it takes.
func (r room) held() int {
	if r.exact {
		return r.size
	}
	return account.BufferCap(r.size)
}

// with returns the room, with what has come in it.
func (r room) with(b []byte) (grown []byte) {
	if r.exact {
		grown = account.Unzeroed(r.size)
	} else {
		grown = account.NewBuffer(r.size)
	}
	copy(grown, b)
	return grown
}

// moveTo makes grown, of a room, the message's buffer.
func (c *conn) moveTo(in *inbound, grown []byte, exact bool) {
	before := in.grown
	in.grown, in.exact, in.buf = grown, exact, grown[:len(in.buf)]
	if before != nil {
		account.FreeBuffer(before)
	}
}

// kept returns what has come, all of it. With kept true it is the session's
// no more.
func (c *conn) kept(in *inbound) (b []byte, kept bool) {
	b = in.buf
	if !in.exact || in.grown == nil {
		return b, false
	}
	c.move(in)
	in.grown, in.buf = nil, nil
	return b, true
}

// drop gives the memory of the message back, and skips what is still to come.
func (c *conn) drop(in *inbound) {
	in.skip = true
	delete(c.partial, in)
	if in.reading {
		return // and is dropped when that has ended
	}
	c.move(in)
	for _, b := range []*[]byte{&in.frame, &in.grown} {
		if *b != nil {
			account.FreeBuffer(*b)
			*b = nil
		}
	}
	in.buf = nil
}

// move accounts for the message no more.
func (c *conn) move(in *inbound) {
	if in.held > 0 {
		c.account.Release(in.held)
		in.held = 0
	}
}
