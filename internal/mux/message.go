package mux

import (
	"fmt"

	pool "github.com/libp2p/go-buffer-pool"
)

// message is one on its way out, in pieces. Its memory is the sender's, who
// must not touch it until forget is called; pieces are copied under the
// session's mutex.
type message struct {
	next, prev *message
	call       *call     // whose request it is
	in         *Incoming // whose reply it is
	kind       kind
	id         uint64
	head, body []byte
	off        int
	queued     bool
	length     int
	sent       chan struct{} // closed by forget, if somebody waits
}

func (m *message) set(k kind, head, body []byte) {
	m.kind, m.head, m.body, m.length = k, head, body, len(head)+len(body)
}

// appendPiece appends the next frame of the message.
func (m *message) appendPiece(b []byte) []byte {
	n := min(m.length-m.off, pieceSize)
	head := m.head[min(m.off, len(m.head)):]
	head = head[:min(n, len(head))]
	at := m.off + len(head) - len(m.head)
	var body []byte
	if n > len(head) {
		body = m.body[at : at+n-len(head)]
	}
	b = grow(b, n+32)
	if m.off == 0 {
		b = appendFrame(b, m.kind, []uint64{m.id, uint64(m.length)}, head, body)
	} else {
		b = appendFrame(b, kindData, []uint64{m.id}, head, body)
	}
	m.off += n
	return b
}

// forget says that nothing of the message's memory is needed any more.
func (m *message) forget() {
	if m.sent != nil {
		close(m.sent)
		m.sent = nil
	}
}

// messages is a queue.
type messages struct{ first, last *message }

func (q *messages) push(m *message) {
	m.prev, m.next, m.queued = q.last, nil, true
	if q.last != nil {
		q.last.next = m
	} else {
		q.first = m
	}
	q.last = m
}

func (q *messages) remove(m *message) {
	if !m.queued {
		return
	}
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		q.first = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		q.last = m.prev
	}
	m.next, m.prev, m.queued = nil, nil, false
}

// inbound is a message on its way in.
type inbound struct {
	frame []byte // the buffer of the first frame; kept, for somebody may be reading it
	buf   []byte // what has come, in frame if that is all
	total int
	got   int
	used  int  // accounted for
	quiet int  // ticks without a piece
	skip  bool // nobody wants it
}

// start takes the first piece, and with it the frame's buffer.
func (c *conn) start(in *inbound, f *frame, frame []byte) error {
	in.total, in.got = int(f.num), len(f.body)
	if in.skip {
		pool.Put(frame)
		return nil
	}
	if err := c.use(len(frame)); err != nil {
		pool.Put(frame)
		return err
	}
	in.frame, in.buf, in.used = frame, f.body, len(frame)
	if !in.whole() {
		c.partial[in] = struct{}{}
	}
	return nil
}

func (in *inbound) whole() bool { return in.got == in.total }

// more takes the next piece. The buffer grows with what has come: at most four
// times that, whatever was announced.
func (c *conn) more(in *inbound, f *frame) error {
	if left := in.total - in.got; len(f.body) > left {
		return fmt.Errorf("%w: %d bytes more than a message has", ErrProtocol, len(f.body)-left)
	}
	in.got += len(f.body)
	in.quiet = 0
	if in.skip {
		return nil
	}
	if in.got > cap(in.buf) || in.used == len(in.frame) {
		size := min(in.total, max(4*in.got, step))
		if err := c.use(size); err != nil {
			return err
		}
		grown := pool.Get(size)[:len(in.buf)]
		copy(grown, in.buf)
		if before := in.used - len(in.frame); before > 0 {
			pool.Put(in.buf)
			c.unuse(before)
		}
		in.buf, in.used = grown, len(in.frame)+size
	}
	in.buf = append(in.buf, f.body...)
	if in.whole() {
		delete(c.partial, in)
	}
	return nil
}

// drop gives the memory of the message back, and skips what is still to come.
func (c *conn) drop(in *inbound) {
	in.skip = true
	delete(c.partial, in)
	if in.used == 0 {
		return
	}
	if in.used > len(in.frame) {
		pool.Put(in.buf)
	}
	pool.Put(in.frame)
	c.unuse(in.used)
	in.frame, in.buf, in.used = nil, nil, 0
}
