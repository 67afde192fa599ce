package wire

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
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
	B []byte
	// Own is for messages of this program's own making, not at a peer's request:
	// they are refused only if they would be too large in any case.
	Own bool

	dst  io.Writer
	flow Flow // in place of dst, if it is one
	mem  account.Account
	dog  Watchdog

	sent atomic.Int64 // bytes written so far
}

// Init makes w write to st, account to mem, and wait no longer than stall for
// each piece to be taken. Close gives back what it holds.
func (w *Writer) Init(st Stream, mem account.Memory, stall time.Duration) {
	w.B, w.dst = account.NewBuffer(firstBuffer)[:0], st
	w.mem.Init(mem, unreserved, 0)
	w.dog.Init(st, true, stall)
}

// Start makes sure that B is a buffer of the pool.
func (w *Writer) Start() {
	if w.B == nil {
		w.B = account.NewBuffer(firstBuffer)[:0]
	}
}

// End is Flush of the last that is sent on a flow.
func (w *Writer) End() error { return w.give(true) }

// give hands what has been collected to a flow.
func (w *Writer) give(last bool) error {
	b := w.B
	w.B = nil
	w.Gave(len(b))
	return w.flow.Give(b, true, last)
}

// Gave counts bytes that somebody gives to the flow by himself.
func (w *Writer) Gave(n int) { w.sent.Add(int64(n)) }

// Flush writes what has been collected. A buffer that a large message made
// grow is given back. Where no memory is granted for it, nothing is written,
// and what was collected is forgotten.
func (w *Writer) Flush() error {
	if len(w.B) == 0 {
		return nil
	}
	if w.flow != nil {
		return w.give(false)
	}
	err := w.hold(cap(w.B))
	if err == nil {
		err = w.write(w.B)
	}
	w.B = w.B[:0]
	if cap(w.B) > 2*FlushSize || w.mem.InDebt() || err != nil {
		w.Close()
		w.B = account.NewBuffer(firstBuffer)[:0]
	}
	return err
}

// hold counts a buffer, or what else is kept until it is written.
func (w *Writer) hold(size int) error {
	n := size - w.mem.Used()
	if n <= 0 {
		return nil
	}
	err := w.mem.Hold(n, size)
	if w.Own && account.IsPassing(err) {
		return nil
	}
	return err
}

// FlushWith writes what has been collected and body after it, in one write if
// that is small. A body that the user holds anyway is not accounted for: a caller
// does until its call is over, while a method's reply is held for the peer alone.
func (w *Writer) FlushWith(body []byte, users bool) error {
	if len(w.B)+len(body) <= FlushSize {
		w.B = append(account.GrowBuffer(w.B, len(body)), body...)
		return w.Flush()
	}
	if w.flow != nil {
		if err := w.Flush(); err != nil {
			return err
		}
		w.Gave(len(body))
		return w.flow.Give(body, false, false)
	}
	held := cap(w.B)
	if !users {
		held += len(body)
	}
	err := w.hold(held)
	if err == nil {
		if len(w.B) > 0 {
			n := max(withHead-len(w.B), 0)
			w.B = append(account.GrowBuffer(w.B, n), body[:n]...)
			body = body[n:]
		}
		err = w.write(w.B)
	}
	if err == nil {
		err = w.write(body)
	}
	w.Close() // the body is the caller's again
	w.B = account.NewBuffer(firstBuffer)[:0]
	return err
}

// Close returns the buffer and its reservation. No other call may be running.
func (w *Writer) Close() {
	account.FreeBuffer(w.B)
	w.B = nil
	w.mem.Close()
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
