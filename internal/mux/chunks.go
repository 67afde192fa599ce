package mux

import "github.com/libp2p/go-libp2p-gorpc/internal/account"

// chunks are bytes in a row, in buffers of the pool or of others.
type chunks struct {
	list []chunk
	next int // of list, the first that is not read
	off  int // in that
	n    int // bytes that are not read

	some [2]chunk // what list is in, mostly
}

type chunk struct {
	b    []byte
	buf  []byte // of the pool, to which it goes back; nil: b is somebody else's
	held int    // what is accounted for it
}

// leastChunk and mostChunk are how large a buffer is that small pieces are gathered in.
const (
	leastChunk = 256
	mostChunk  = 4 << 10
)

func (q *chunks) push(c chunk) {
	if q.list == nil {
		q.list = q.some[:0]
	}
	q.list = append(q.list, c)
	q.n += len(c.b)
}

// gather copies b to the end, into the room that the last buffer has.
func (q *chunks) gather(b []byte) {
	if last := len(q.list) - 1; last >= 0 && q.list[last].buf != nil {
		c := &q.list[last]
		if n := min(cap(c.b)-len(c.b), len(b)); n > 0 {
			c.b = append(c.b, b[:n]...)
			q.n += n
			b = b[n:]
		}
	}
	if len(b) > 0 {
		buf := account.NewBuffer(max(len(b), min(max(leastChunk, 2*q.n), mostChunk)))
		q.push(chunk{b: append(buf[:0], b...), buf: buf})
	}
}

// read reads what b has room for, or all that is there.
func (q *chunks) read(b []byte) (n int) {
	for n < len(b) && q.n > 0 {
		k := copy(b[n:], q.list[q.next].b[q.off:])
		n += k
		q.skip(k)
	}
	return n
}

// skip says that n bytes, of one buffer, are read.
func (q *chunks) skip(n int) {
	q.n -= n
	if q.off += n; q.off == len(q.list[q.next].b) {
		q.next, q.off = q.next+1, 0
	}
}

// free gives the buffers back that are read, and returns what was accounted for them.
func (q *chunks) free() (held int) {
	for i := range q.list[:q.next] {
		held += q.list[i].release()
	}
	left := copy(q.list, q.list[q.next:])
	clear(q.list[left:])
	if q.list, q.next = q.list[:left], 0; left == 0 && cap(q.list) > 8 {
		q.list = nil
	}
	return held
}

// drop is free of all.
func (q *chunks) drop() (held int) {
	for i := range q.list {
		held += q.list[i].release()
	}
	*q = chunks{}
	return held
}

func (c *chunk) release() int {
	if c.buf != nil {
		account.FreeBuffer(c.buf)
	}
	return c.held
}

// rewind makes all that was not freed to be read again.
func (q *chunks) rewind() {
	q.next, q.off, q.n = 0, 0, 0
	for _, c := range q.list {
		q.n += len(c.b)
	}
}
