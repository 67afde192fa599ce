package mux

// message is one on its way out, in pieces. Its memory is the sender's, who
// must not touch it until it is forgotten; pieces are copied under the
// session's mutex.
type message struct {
	next, prev *message
	call       *call     // whose request it is
	in         *Incoming // whose reply it is
	flow       *Flow     // whose turn it is, and then nothing but that
	kind       kind
	id         uint64
	head, body []byte
	off        int
	queued     bool
	turning    bool // it is one of those that take turns
	length     int
	sent       chan struct{} // closed when it is forgotten, if somebody waits
	owned      int           // how much of it is the library's
	used       int           // accounted for
}

func (m *message) set(k kind, head, body []byte) {
	m.kind, m.head, m.body, m.length = k, head, body, len(head)+len(body)
}

// appendPiece appends the next frame of the message.
func (m *message) appendPiece(b []byte) []byte {
	n := min(m.length-m.off, FirstPiece)
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
