package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// Flow is one side of a streaming call: bytes in order, both ways, of each no more
// than the window of who receives them. What its methods wait for ends with the call
// at the latest. One goroutine reads and one writes; the others are safe at any time.
type Flow struct {
	c     *conn
	id    uint64
	turn  message // its place among those who have pieces to send
	begun bool    // the call has
	quiet bool    // it is not about to send: see crowded

	// What goes out.
	out     chunks
	seen    bool // the peer has looked at the call: what was sent is not needed again
	credit  int  // bytes that may be sent
	blocked bool // the peer knows that more is to be sent
	last    bool // the server's end goes with the last byte
	stalled int  // ticks without credit
	outErr  error
	room    sync.Cond
	full    atomic.Bool // a Give would wait

	// What has come.
	in      chunks
	free    int // of it, bytes that do not count: those of open
	window  int // granted, what has come, and what was taken and is to be granted again
	granted int
	taken   int
	ended   bool // the last byte has come
	late    bool // a deadline has passed
	inErr   error
	data    sync.Cond
}

const (
	// leastWindow is the least first window, and that of a call's arguments until the
	// server has said its own.
	leastWindow = 1 << 10
	mostWindow  = 4 << 20

	// mostWindows is how large all windows of a session may be together when one grows.
	mostWindows = 8 << 20

	// mostQueued is how much may wait to be sent before its writer does.
	mostQueued = 64 << 10
)

// ErrStopped is the error of who reads or writes when the call's own side has ended
// that.
var ErrStopped = errors.New("the call is over")

func (f *Flow) init(c *conn, window, credit int) {
	f.c, f.turn.flow = c, f
	f.room.L, f.data.L = &c.mu, &c.mu
	f.window, f.granted, f.credit = window, window, credit
	c.flows++
}

// firstWindow takes the first window of the next call's replies from the account:
// the more calls there are, the smaller. The mutex is held.
func (c *conn) firstWindow() (n int, err error) {
	n = leastWindow
	switch {
	case c.flows < 64:
		n = 32 << 10
	case c.flows < 256:
		n = 4 << 10
	}
	if c.windows+n <= mostWindows && c.account.Spare(n) {
		c.windows += n
		return n, nil
	}
	return leastWindow, c.takeWindow(leastWindow)
}

// takeWindow accounts for a window that a call cannot do without.
func (c *conn) takeWindow(n int) error {
	err := c.account.Grow(n, n)
	if err == nil {
		c.windows += n
	}
	return err
}

// close gives back what the call holds, which is over.
func (f *Flow) close() {
	if f.window < 0 {
		return
	}
	f.c.queue.remove(&f.turn)
	f.c.flows--
	f.hush(false)
	f.c.windows -= f.window
	f.c.account.Release(f.window + f.in.drop() + f.out.drop())
	f.window = -1
	f.stop(ErrStopped)
}

// hush says whether the call is about to send something.
func (f *Flow) hush(quiet bool) {
	if f.quiet != quiet && f.window >= 0 {
		f.quiet = quiet
		if quiet {
			f.c.quietFlows++
		} else {
			f.c.quietFlows--
		}
	}
}

// stop ends what waits, and forgets what was to be sent and to be read.
func (f *Flow) stop(err error) {
	f.stopOut(err)
	if f.inErr == nil {
		f.inErr = err
	}
	f.free = 0
	f.c.account.Release(f.in.drop())
	f.data.Broadcast()
}

func (f *Flow) stopOut(err error) {
	if f.outErr == nil {
		f.outErr = err
	}
	f.c.queue.remove(&f.turn)
	if f.seen {
		f.c.account.Release(f.out.drop())
	}
	f.room.Broadcast()
}

// over says that nothing more comes: all has, with a nil err.
func (f *Flow) over(err error) {
	f.ended = true
	f.hush(false)
	if f.inErr == nil {
		f.inErr = err
	}
	if err == nil {
		err = io.EOF
	}
	f.stopOut(err)
	f.data.Broadcast()
}

// StopReading makes a Read that waits, and every later one, end at once.
func (f *Flow) StopReading() { f.locked(func() { f.dropIn(ErrStopped) }) }

// dropIn lets nothing more be read.
func (f *Flow) dropIn(err error) {
	if f.inErr == nil {
		f.inErr = err
	}
	f.c.account.Release(f.in.drop())
	f.free = 0
	f.data.Broadcast()
}

// CloseRead says that all that is wanted has been read: the window is given up.
func (f *Flow) CloseRead() {
	f.locked(func() {
		if f.window > 0 {
			f.dropIn(ErrStopped)
			f.c.windows -= f.window
			f.c.account.Release(f.window)
			f.window = 0
		}
	})
}

// StopWriting makes a Give that waits, and every later one, end at once.
func (f *Flow) StopWriting() { f.locked(func() { f.stopOut(ErrStopped) }) }

func (f *Flow) locked(do func()) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	do()
}

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
		n = f.in.read(b)
		f.took(n)
		return n, nil
	case f.inErr != nil:
		return 0, f.inErr
	}
	return 0, io.EOF
}

// Skip passes over n bytes that have come.
func (f *Flow) Skip(n int) {
	f.locked(func() {
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

// mayGo takes a grant.
func (f *Flow) mayGo(n uint64) error {
	f.see()
	if n > uint64(math.MaxInt32-f.credit) {
		return fmt.Errorf("%w: call %d is granted %d bytes, and has %d", ErrProtocol, f.id, n, f.credit)
	}
	f.credit += int(n)
	f.blocked, f.stalled = false, 0
	f.send()
	f.c.kick(false, false)
	return nil
}

// see notes that the peer has looked at the call.
func (f *Flow) see() {
	if !f.seen {
		f.seen = true
		f.hush(true)
		f.c.account.Release(f.out.free())
	}
}

// Give has b sent, which is the Flow's from now on: of the pool, or nobody changes it
// any more. It waits while there is much to be sent. With last it is the end of a
// server's side, and Give waits until all is sent.
func (f *Flow) Give(b []byte, pool, last bool) error {
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for f.outErr == nil && f.out.n >= mostQueued {
		f.room.Wait()
	}
	k := chunk{b: b}
	if pool {
		k.buf = b
	}
	if f.outErr != nil {
		k.release()
		return f.outErr
	}
	if err := f.queue(k); err != nil {
		return err
	}
	if last {
		f.last, f.turn.in.replied = true, true
	}
	f.send()
	c.kick(true, true)
	for last && f.outErr == nil {
		f.room.Wait()
	}
	if last && f.outErr == io.EOF {
		return nil
	}
	return f.outErr
}

// queue accounts for what is to be sent, but for what a client's program has made while
// others hold the memory.
func (f *Flow) queue(k chunk) error {
	err := f.c.account.Hold(len(k.b), len(k.b))
	switch {
	case err == nil:
		k.held = len(k.b)
	case f.turn.call == nil || !account.IsPassing(err):
		k.release()
		return err
	}
	if len(k.b) > 0 {
		f.out.push(k)
	}
	f.full.Store(f.out.n >= mostQueued)
	return nil
}

// Room waits until a Give does not wait, or ctx ends.
func (f *Flow) Room(ctx context.Context) error {
	if !f.full.Load() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { f.locked(f.room.Broadcast) })
	defer stop()
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	for f.outErr == nil && f.out.n >= mostQueued && ctx.Err() == nil {
		f.room.Wait()
	}
	if f.outErr != nil {
		return f.outErr
	}
	return ctx.Err()
}

// HasMore reports whether anything can be read without waiting.
func (f *Flow) HasMore() (more bool) {
	f.locked(func() { more = f.in.n > 0 })
	return more
}

// Write is Give of a copy.
func (f *Flow) Write(b []byte) (int, error) {
	buf := account.NewBuffer(len(b))
	copy(buf, b)
	if err := f.Give(buf, true, false); err != nil {
		return 0, err
	}
	return len(b), nil
}
