package mux

import (
	"fmt"
	"io"
	"os"
	"time"
)

// SetReadDeadline ends a Read at once if t has passed.
func (f *Flow) SetReadDeadline(t time.Time) error {
	f.locked(func() {
		f.late = !t.IsZero() && !time.Now().Before(t)
		f.data.Broadcast()
	})
	return nil
}

// SetWriteDeadline does nothing: a Flow that cannot go on says so itself.
func (f *Flow) SetWriteDeadline(time.Time) error { return nil }

// Await waits for something to be read, the end, or an error. If it has to wait, it
// calls idle before.
func (f *Flow) Await(idle interface{ Idle() }) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.waits() {
		idle.Idle()
	}
	for f.waits() {
		f.data.Wait()
	}
}

func (f *Flow) waits() bool { return f.in.n == 0 && !f.ended && f.inErr == nil && !f.late }

// Read reads what has come. At the end it returns io.EOF.
func (f *Flow) Read(b []byte) (n int, err error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	for f.waits() {
		f.data.Wait()
	}
	switch {
	case f.late:
		return 0, os.ErrDeadlineExceeded
	case f.in.n > 0:
		f.unpin()
		n = f.in.read(b)
		f.took(n)
		return n, nil
	case f.inErr != nil:
		return 0, f.inErr
	}
	return 0, io.EOF
}

// pin has the call begin with b, of a buffer that is held whatever becomes of the call:
// a cancel may come while the header is read.
func (f *Flow) pin(b, buf []byte) {
	f.first = chunk{b: b, buf: buf, held: cap(buf)}
	f.in.push(chunk{b: b})
}

// unpin makes the buffer of the first bytes one as the others are.
func (f *Flow) unpin() {
	switch {
	case f.first.buf == nil:
	case len(f.in.list) > 0:
		f.in.list[0] = f.first
	default: // they were dropped
		f.c.account.Release(f.first.release())
	}
	f.first = chunk{}
}

// Skip passes over the first n bytes that have come. Those of First are not to be
// used any more.
func (f *Flow) Skip(n int) {
	f.locked(func() {
		f.unpin()
		if f.in.n >= n {
			f.in.skip(n)
			f.took(n)
		}
	})
}

// took lets as much more be sent as was taken, half a window at a time.
func (f *Flow) took(n int) {
	f.c.account.Release(f.in.free())
	k := min(n, f.free)
	f.free -= k
	if f.taken += n - k; f.taken > 0 && f.taken >= f.window/2 && !f.ended {
		f.grant(0)
	}
}

// grant lets what was taken be sent, and so much more.
func (f *Flow) grant(more int) {
	if f.turn.in != nil && f.c.backlogged() { // a client that sends, and reads nothing
		f.c.end(errUnread)
		return
	}
	n := f.taken + more
	f.taken = 0
	f.granted += n
	f.c.add(kindGrant, []uint64{f.id, uint64(n)})
	f.c.kick(true, true)
}

// received takes bytes, and with kept true the frame's buffer.
func (f *Flow) received(fr *frame, buf []byte) (kept bool, err error) {
	f.see()
	if fr.size > f.granted {
		return false, fmt.Errorf("%w: call %d has %d bytes, and %d may come", ErrProtocol, f.id, fr.size, f.granted)
	}
	f.granted -= fr.size
	switch {
	case f.inErr != nil || fr.size == 0:
		return false, nil
	case fr.lost != nil:
		f.dropIn(fr.lost)
		return false, nil
	case f.in.n == 0 || fr.size >= mostChunk:
		f.in.push(chunk{b: fr.body, buf: buf})
		kept = true
	default:
		f.in.gather(fr.body)
	}
	f.data.Signal()
	return kept, nil
}

// isBlocked makes the window of a sender larger who is held up by it, unless it is the
// reader who is slow.
func (f *Flow) isBlocked() error {
	f.see()
	if f.inErr != nil || f.window == 0 || f.in.n-f.free > f.window/2 {
		return nil
	}
	more := f.window
	if 2*more > mostWindow || f.c.windows+more > mostWindows || !f.c.account.Spare(more) {
		more = 0
	}
	f.window += more
	f.c.windows += more
	if f.taken+more > 0 {
		f.grant(more)
	}
	return nil
}

// HasMore reports whether anything can be read without waiting.
func (f *Flow) HasMore() (more bool) {
	f.locked(func() { more = f.in.n > 0 })
	return more
}
