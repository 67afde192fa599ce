package mux

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	pool "github.com/libp2p/go-buffer-pool"
	"github.com/libp2p/go-msgio"
)

// Stream is what a session runs on.
type Stream interface {
	io.ReadWriteCloser
	// Reset ends the stream at once, on both sides.
	Reset() error
	// SetWriteDeadline with a time in the past makes a Write return how much
	// was written. Writing may go on when it has been lifted.
	SetWriteDeadline(time.Time) error
}

// Memory accounts for what is buffered; a libp2p stream's scope is one.
type Memory interface {
	ReserveMemory(size int, prio uint8) error
	ReleaseMemory(size int)
}

// Limits bound a session. A time that is zero is for ever.
type Limits struct {
	Calls   int // which a server takes at once
	Message int // bytes of one received message

	Silence  time.Duration // of a peer while calls are under way
	Progress time.Duration // of a message, in either direction
	Idle     time.Duration // without any call
}

// Errors of sessions.
var (
	ErrSilent   = errors.New("the peer is silent")
	ErrStalled  = errors.New("no progress")
	ErrIdle     = errors.New("the session was idle")
	ErrMemory   = errors.New("no memory granted")
	ErrProtocol = errors.New("the peer breaks the protocol of sessions")
)

// TooLargeError says that a message is over the limit.
type TooLargeError struct{ Size, Max uint64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d bytes, and %d may be", e.Size, e.Max)
}

const (
	// readBuffer is enough for some thirty small frames at a time, and most of
	// what an idle session holds.
	readBuffer = 4 << 10

	// smallMessage is what is copied to be written, whoever waits for it.
	smallMessage = 16 << 10

	// pieceSize is how much of a large message goes out before others have
	// their turn.
	pieceSize = 32 << 10

	// batchSize is what is written at once, more or less.
	batchSize = 64 << 10

	// unreserved is how much memory is not reserved; step is how much more is,
	// at least, when that does not do.
	unreserved = 16 << 10
	step       = 64 << 10

	coalesceTries = 32

	// patience is how long a caller writes itself, when it could be given up
	// meanwhile, before a goroutine takes the writing over.
	patience = 5 * time.Millisecond
)

// reserveAlways is libp2p's network.ReservationPriorityAlways.
const reserveAlways = 255

// conn is what the two sides of a session have in common: all of its state is
// under one mutex, which is never held while something may wait.
type conn struct {
	st    Stream
	lim   Limits
	side  side
	br    *bufio.Reader
	msgs  msgio.Reader
	read  atomic.Int64 // bytes that came
	whole atomic.Int64 // of them, those of frames read to their end

	mu       sync.Mutex
	err      error    // why it ended
	closing  bool     // it takes no more calls
	settled  bool     // the peer's first settings have come
	out      []byte   // small frames to be written next
	queue    outbound // large messages under way
	writing  bool     // somebody does
	rest     []byte   // what a Write that was taken over left
	restOf   []byte   // the buffer of rest
	queued   uint64   // bytes that were ever to be written
	handed   uint64   // of them, those that the stream was given
	slow     *time.Timer
	inline   bool // a caller is writing who may be given up
	taken    bool // from it, by a deadline
	memory   Memory
	used     int
	reserved int
	partial  map[*inbound]struct{} // messages of which more is to come

	timer    *time.Timer
	interval time.Duration
	ticks    int64 // so far
	lastRead int64 // at the last tick
	quiet    int   // ticks without a byte from the peer
	stuck    int   // ticks without a byte taken by the peer
	lastSent uint64
	idle     int // ticks without a call
}

// side is what a client and a server do differently. Its methods are called
// with the mutex held.
type side interface {
	calls() int                       // under way
	begin(*message)                   // the first piece is about to be written
	written(*message)                 // the last one has been taken to be written
	ending(error) (after func())      // the session has ended
	ticked()                          // so much time has passed
	idled()                           // nothing was called for so long
	failed(in *inbound, reason error) // a message's pieces do not come
}

func (c *conn) init(st Stream, mem Memory, lim Limits, s side) {
	c.mu.Lock() // of the first tick
	defer c.mu.Unlock()
	c.st, c.lim, c.side, c.memory = st, lim, s, mem
	c.br = bufio.NewReaderSize(counter{c}, readBuffer)
	c.msgs = msgio.NewVarintReaderSize(c.br, MaxFrame)
	c.partial = make(map[*inbound]struct{})
	c.interval = c.everySoOften()
	if c.interval > 0 {
		c.timer = time.AfterFunc(c.interval, c.tick)
	}
}

// counter counts what is read.
type counter struct{ c *conn }

func (r counter) Read(b []byte) (int, error) {
	n, err := r.c.st.Read(b)
	r.c.read.Add(int64(n))
	return n, err
}

// next reads a frame into a buffer of the pool. The length is checked before
// there is a buffer: msgio would make one of any size.
func (c *conn) next() (f frame, buf []byte, err error) {
	n, err := c.msgs.NextMsgLen()
	if err != nil {
		return f, nil, err
	}
	if n <= 0 || n > MaxFrame { // or what msgio makes of a length on 32 bits
		return f, nil, fmt.Errorf("%w: a frame of %d bytes; from 1 to %d may be", ErrProtocol, n, MaxFrame)
	}
	buf = pool.Get(n)
	if _, err = c.msgs.Read(buf); err == nil {
		f, err = parseFrame(buf)
	}
	c.whole.Store(c.read.Load() - int64(c.br.Buffered()))
	if err != nil {
		pool.Put(buf)
		if errors.Is(err, errFrame) {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return f, nil, err
	}
	return f, buf, nil
}

// kick makes somebody write: the caller, once, if it may wait for that, and
// otherwise a goroutine until nothing is left. The mutex is held.
func (c *conn) kick(self, cancellable bool) {
	if c.writing || !c.pending() {
		return
	}
	c.writing = true
	if self {
		c.write(cancellable)
		if c.err != nil || !c.pending() {
			c.rests()
			return
		}
	}
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for c.err == nil && c.pending() {
			c.write(false)
		}
		c.rests()
	}()
}

func (c *conn) pending() bool { return len(c.out) > 0 || len(c.rest) > 0 || !c.queue.empty() }

// rests says that nobody writes any more.
func (c *conn) rests() {
	c.writing = false
	if cap(c.out) > readBuffer || c.err != nil {
		pool.Put(c.out)
		c.out = nil
	}
	c.closeIfDone()
}

// closeIfDone ends a session that takes no more calls when it has none left.
func (c *conn) closeIfDone() {
	if c.closing && c.err == nil && !c.writing && !c.pending() && c.side.calls() == 0 {
		c.end(ErrIdle)
	}
}

// write writes what waits, for all who wait. The mutex is held but while the
// stream has it.
func (c *conn) write(cancellable bool) {
	// Who is about to add to it has the chance to, as long as somebody does: the
	// muxer sends each write as it is.
	for range coalesceTries {
		if !c.crowded() || len(c.rest) > 0 || len(c.out) > batchSize {
			break
		}
		before := c.queued
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		if c.err != nil {
			return
		}
		if c.queued == before {
			break
		}
	}
	buf := c.restOf
	b := c.rest
	if len(b) == 0 {
		buf = c.batch()
		b = buf
		c.handed += uint64(len(b))
	}
	c.rest, c.restOf = nil, nil
	if cancellable {
		c.inline = true
		if c.slow == nil {
			c.slow = time.AfterFunc(patience, c.takeOver)
		} else {
			c.slow.Reset(patience)
		}
	}
	c.mu.Unlock()
	n, err := c.st.Write(b)
	c.mu.Lock()
	if cancellable {
		c.slow.Stop()
		c.inline = false
	}
	if c.taken {
		c.taken = false
		_ = c.st.SetWriteDeadline(time.Time{})
		if isTimeout(err) {
			c.rest, c.restOf = b[n:], buf
			return
		}
	}
	pool.Put(buf)
	if err != nil {
		c.handed -= uint64(len(b) - n)
		c.end(err)
	}
}

// crowded reports whether somebody else may soon have something to write: a
// call under way, or one whose request has been read and not yet looked at.
func (c *conn) crowded() bool { return c.side.calls() > 1 || c.read.Load() != c.whole.Load() }

// takeOver ends the writing of a caller that waits in it: it has to see its
// context end.
func (c *conn) takeOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inline && !c.taken {
		c.taken = true
		_ = c.st.SetWriteDeadline(time.Unix(1, 0))
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// batch takes all small frames, and a piece of each large message in turn.
func (c *conn) batch() []byte {
	b := c.out
	c.out = nil
	for first := true; !c.queue.empty() && (first || len(b) < batchSize); first = false {
		m := c.queue.next()
		if m.off == 0 {
			c.side.begin(m)
		}
		before := len(b)
		b = m.appendPiece(b)
		c.queued += uint64(len(b) - before)
		if m.off < m.length {
			c.queue.again(m)
		} else {
			c.queue.done(m)
			m.forget()
			c.side.written(m)
		}
	}
	return b
}

// add appends a small frame.
func (c *conn) add(k kind, numbers []uint64, body ...[]byte) {
	c.room(32 + bodyLen(body))
	before := len(c.out)
	c.out = appendFrame(c.out, k, numbers, body...)
	c.queued += uint64(len(c.out) - before)
}

func bodyLen(body [][]byte) (n int) {
	for _, b := range body {
		n += len(b)
	}
	return n
}

func (c *conn) room(n int) {
	if c.out == nil {
		c.out = pool.Get(max(n, 1<<10))[:0]
	}
	c.out = grow(c.out, n)
}

// grow makes room for n more bytes in b, a buffer of the pool.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := pool.Get(max(len(b)+n, 2*cap(b)))[:len(b)]
	copy(grown, b)
	pool.Put(b)
	return grown
}

// end ends the session, once; the first reason is the one. The mutex is held.
func (c *conn) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if c.timer != nil {
		c.timer.Stop()
	}
	for _, m := range c.queue.all() {
		c.queue.remove(m)
		m.forget()
	}
	after := c.side.ending(err)
	c.partial = nil
	reserved := c.reserved
	c.reserved = 0
	go func() { // neither may hold up who ends the session
		if reserved > 0 {
			c.memory.ReleaseMemory(reserved)
		}
		if errors.Is(err, ErrIdle) {
			_ = c.st.Close()
		} else {
			_ = c.st.Reset()
		}
		after()
	}()
}

// use accounts for n more bytes. The mutex is held.
func (c *conn) use(n int) error {
	if more := c.used + n - unreserved - c.reserved; more > 0 {
		more = max(more, step)
		if err := c.memory.ReserveMemory(more, reserveAlways); err != nil {
			return fmt.Errorf("%w: %w", ErrMemory, err)
		}
		c.reserved += more
	}
	c.used += n
	return nil
}

// unuse gives them back. A little is kept for what comes next, until a tick.
func (c *conn) unuse(n int) {
	c.used -= n
	if surplus := c.reserved - max(c.used-unreserved, 0); surplus > 8*step {
		c.unreserve(surplus - 4*step)
	}
}

func (c *conn) unreserve(n int) {
	if n = min(n, c.reserved); n > 0 {
		c.memory.ReleaseMemory(n)
		c.reserved -= n
	}
}

// everySoOften is how long a tick takes.
func (c *conn) everySoOften() (d time.Duration) {
	for _, part := range []time.Duration{c.lim.Silence / silentTicks, c.lim.Progress / 4, c.lim.Idle / 4} {
		if part > 0 && (d == 0 || part < d) {
			d = part
		}
	}
	return d
}

// silentTicks is how many ticks a silence lasts: one passes before it counts.
const silentTicks = 5

// over reports whether so many ticks are d, less the one under way.
func (c *conn) over(ticks int, d time.Duration) bool {
	return d > 0 && time.Duration(ticks+1)*c.interval >= d
}

// tick looks after everything that takes time: a peer that is silent or does
// not read, messages that do not go on, idleness, and memory kept for nothing.
func (c *conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.ticks++
	read := c.read.Load()
	busy := c.side.calls() > 0 || read != c.whole.Load()
	c.quiet = countIf(c.quiet, read == c.lastRead && busy)
	c.stuck = countIf(c.stuck, c.writing && c.handed == c.lastSent)
	c.idle = countIf(c.idle, !busy)
	c.lastRead, c.lastSent = read, c.handed
	switch {
	case c.over(c.quiet, c.lim.Silence):
		c.end(ErrSilent)
		return
	case c.over(c.stuck, c.lim.Progress):
		c.end(ErrStalled)
		return
	case c.over(c.idle, c.lim.Idle):
		c.idle = 0
		c.side.idled()
	case c.quiet > 0 && c.lim.Silence > 0:
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(c.ticks))
		c.add(kindPing, nil, b[:])
	}
	for in := range c.partial {
		if in.quiet++; c.over(in.quiet, c.lim.Progress) {
			c.side.failed(in, ErrStalled)
		}
	}
	if c.err != nil {
		return
	}
	c.side.ticked()
	c.unreserve(c.reserved - max(c.used-unreserved, 0))
	c.kick(false, false)
	c.timer.Reset(c.interval)
}

func countIf(n int, more bool) int {
	if more {
		return n + 1
	}
	return 0
}
