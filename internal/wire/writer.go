package wire

import (
	"io"
	"sync/atomic"
	"time"

	pool "github.com/libp2p/go-buffer-pool"
)

const (
	// piece is what is written at once: the watchdog allows its time for each,
	// so that a slow reader is not taken for a stalled one. Two of yamux's
	// largest frames.
	piece = 2 * (64<<10 - 12)

	// withHead is how much of a large body goes with what comes before it, for
	// the muxer sends each write as it is: a TLS record, less what libp2p puts
	// before the first.
	withHead = 16<<10 - 512

	// FlushSize is how much a streaming call collects before it is written
	// even though more is at hand.
	FlushSize = 64 << 10
)

// Writer collects what is to be sent and writes it in large pieces. Append to
// B, then Flush. Not safe for concurrent use.
type Writer struct {
	B   []byte
	dst io.Writer
	mem account
	dog Watchdog

	sent atomic.Int64 // bytes written so far
}

// Init makes w write to st, account to mem, and wait no longer than stall for
// each piece to be taken. Close gives back what it holds.
func (w *Writer) Init(st Stream, mem Memory, stall time.Duration) {
	w.B, w.dst, w.mem.mem = pool.Get(firstBuffer)[:0], st, mem
	w.dog.Init(st, true, stall)
}

// Flush writes what has been collected. A buffer that a large message made
// grow is given back. Where no memory is granted for it, nothing is written,
// and what was collected is forgotten.
func (w *Writer) Flush() error {
	if len(w.B) == 0 {
		return nil
	}
	err := w.mem.grow(cap(w.B))
	if err == nil {
		err = w.write(w.B)
	}
	w.B = w.B[:0]
	if cap(w.B) > 2*FlushSize || err != nil {
		w.Close()
		w.B = pool.Get(firstBuffer)[:0]
	}
	return err
}

// FlushWith writes what has been collected and body after it, in one write if
// that is small. A body that the user holds anyway is not accounted for.
func (w *Writer) FlushWith(body []byte, users bool) error {
	if len(w.B)+len(body) <= FlushSize {
		w.B = append(Grow(w.B, len(body)), body...)
		return w.Flush()
	}
	held := cap(w.B)
	if !users {
		held += len(body)
	}
	err := w.mem.grow(held)
	if err == nil {
		if len(w.B) > 0 {
			n := max(withHead-len(w.B), 0)
			w.B = append(Grow(w.B, n), body[:n]...)
			body = body[n:]
		}
		err = w.write(w.B)
	}
	if err == nil {
		err = w.write(body)
	}
	w.Close() // the body is the caller's again
	w.B = pool.Get(firstBuffer)[:0]
	return err
}

// Grow makes room for n more bytes in b, a buffer of the pool.
func Grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := pool.Get(len(b) + n)
	copy(grown, b)
	n = len(b)
	pool.Put(b)
	return grown[:n]
}

// Close returns the buffer and its reservation. No other call may be running.
func (w *Writer) Close() {
	pool.Put(w.B)
	w.B = nil
	w.mem.release()
}

func (w *Writer) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), piece)
		w.dog.Arm()
		_, err := w.dst.Write(b[:n])
		if !w.dog.Disarm() {
			return ErrStalled
		}
		if err != nil {
			return err
		}
		w.sent.Add(int64(n))
		b = b[n:]
	}
	return nil
}
