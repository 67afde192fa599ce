package mux

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
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
	first   chunk // at the server, while somebody may read the call's first bytes
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
	f.unpin()
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

// see notes that the peer has looked at the call.
func (f *Flow) see() {
	if !f.seen {
		f.seen = true
		f.hush(true)
		f.c.account.Release(f.out.free())
	}
}
