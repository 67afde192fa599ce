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
	turning    bool // it is one of those that take turns
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

// outbound are the large messages on their way out. Some take turns, a piece
// each, and the others are held: whoever receives them has to have room for all
// that have begun. There are two lanes, so that no message waits for one that is
// much larger.
type outbound struct {
	turns messages
	lanes [2]lane
}

type lane struct {
	held  messages
	under int // bytes of those that take turns
}

const (
	largeMessage = 512 << 10 // and above: the second lane

	// How many bytes of messages take turns in each, or else one message.
	mediumUnder = 1 << 20
	largeUnder  = 4 << 20
)

func (o *outbound) laneOf(m *message) (l *lane, most int) {
	if m.length < largeMessage {
		return &o.lanes[0], mediumUnder
	}
	return &o.lanes[1], largeUnder
}

func (o *outbound) push(m *message) {
	l, _ := o.laneOf(m)
	l.held.push(m)
	o.admit(m)
}

// admit lets those take turns, of the lane of m, that may.
func (o *outbound) admit(m *message) {
	l, most := o.laneOf(m)
	for m := l.held.first; m != nil && (l.under == 0 || l.under+m.length <= most); m = l.held.first {
		l.held.remove(m)
		l.under += m.length
		m.turning = true
		o.turns.push(m)
	}
}

// next takes the message whose turn it is; again or done follows.
func (o *outbound) next() *message {
	m := o.turns.first
	if m != nil {
		o.turns.remove(m)
	}
	return m
}

func (o *outbound) again(m *message) { o.turns.push(m) }

func (o *outbound) done(m *message) {
	l, _ := o.laneOf(m)
	l.under -= m.length
	m.turning = false
	o.admit(m)
}

func (o *outbound) remove(m *message) {
	switch l, _ := o.laneOf(m); {
	case !m.queued:
	case m.turning:
		o.turns.remove(m)
		o.done(m)
	default:
		l.held.remove(m)
	}
}

func (o *outbound) empty() bool { return o.turns.first == nil }

// all returns those that take turns, and those that are held.
func (o *outbound) all() (all []*message) {
	for _, q := range []*messages{&o.turns, &o.lanes[0].held, &o.lanes[1].held} {
		for m := q.first; m != nil; m = m.next {
			all = append(all, m)
		}
	}
	return all
}

// inbound is a message on its way in.
type inbound struct {
	frame []byte // the buffer of the first frame; kept, for somebody may be reading it
	buf   []byte // what has come, in frame if that is all
	total int
	got   int
	used  int  // accounted for
	moved bool // it is with whoever waited for it, and accounted for no more
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

// growth is how many times what has come is made room for. From a piece it goes
// to a quarter of a MiB at once: most messages are copied no more than once.
const growth = 8

// more takes the next piece. The buffer grows with what has come, whatever was
// announced.
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
		size := min(in.total, max(growth*in.got, step))
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
	c.move(in)
	in.frame, in.buf, in.used = nil, nil, 0
}

// move accounts for the message no more.
func (c *conn) move(in *inbound) {
	if !in.moved {
		in.moved = true
		c.unuse(in.used)
	}
}
