package mux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-msgio"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
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

// Limits bound a session. A time that is zero is for ever.
type Limits struct {
	Calls   int // which a server takes at once
	Message int // bytes of one received message

	Silence  time.Duration // of a peer while calls are under way
	Progress time.Duration // of a message, in either direction
	Idle     time.Duration // without any call
	Settings time.Duration // until the peer's have come
	Queue    time.Duration // that a client's call may wait for its place

	// Busy is told that there are calls, and within a tick that there are none. It is
	// called with the mutex held.
	Busy func(bool)

	Patient bool // a client sends no request before the server's settings

	Share account.Share // what the peer may be lent
}

const (
	// readBuffer is enough for some thirty small frames at a time, and most of
	// what an idle session holds.
	readBuffer = 4 << 10

	// smallMessage is what is copied to be written, whoever waits for it.
	smallMessage = 16 << 10

	// FirstPiece is how much of a message is in its first piece, and in each of
	// the others: then others have their turn. With a head before it, it fills
	// one of the pool's buffers.
	FirstPiece = 32<<10 - maxHead

	// batchSize is what is written at once, more or less.
	batchSize = 64 << 10

	// piecesAtOnce is the same where it is pieces of large messages: what comes
	// meanwhile waits for so much, and QUIC and yamux for each write.
	piecesAtOnce = 128 << 10

	// maxBacklog is how many bytes of small frames may wait for a peer that does
	// not read when it causes more of them. Calls alone cannot reach it.
	maxBacklog = 256 << 10

	// backlogOfCall is how many more may wait for each call that a client may
	// have, of so many: the ends of calls.
	backlogOfCall = 256
	maxBacklogOf  = 16 << 10

	// unreserved is how much memory is not reserved: the largest message, with its
	// header and its first frame, then fits what libp2p grants a stream. step is
	// how much more is, at least, when that does not do.
	unreserved = 64 << 10
	step       = 64 << 10

	coalesceTries = 32

	// patience is how long a caller writes itself, when it could be given up
	// meanwhile, before a goroutine takes the writing over.
	patience = 5 * time.Millisecond
)

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

	mu      sync.Mutex
	err     error    // why it ended
	closing bool     // it takes no more calls
	settled bool     // the peer's first settings have come
	busy    bool     // lim.Busy was told so
	out     []byte   // small frames to be written next
	queue   outbound // large messages under way
	pace    pacer    // of those
	writing bool     // somebody does
	wrote   bool     // a Write has succeeded
	rest    []byte   // what a Write that was taken over left
	restOf  []byte   // the buffer of rest
	queued  uint64   // bytes that were ever to be written
	handed  uint64   // of them, those that the stream was given
	slow    *time.Timer
	inline  bool // a caller is writing who may be given up
	taken   bool // from it, by a deadline
	account account.Account
	partial map[*inbound]struct{} // messages of which more is to come

	flows      int // of streaming calls
	quietFlows int // of them, those that are not about to send
	windows    int // of all of them together, bytes

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
	receiving(id uint64) *inbound     // what takes the next piece of a call's message, or nil
	flowOf(id uint64) *Flow           // of a streaming call, or nil
	done()                            // it takes no more calls, and has none
}

func (c *conn) init(st Stream, mem account.Memory, lim Limits, s side) {
	c.mu.Lock() // of the first tick
	defer c.mu.Unlock()
	c.st, c.lim, c.side = st, lim, s
	c.account.Init(mem, unreserved, step)
	c.account.Share(lim.Share)
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

// next reads a frame into a buffer, whose memory is accounted for if it is more
// than what has arrived. The length is checked before there is a buffer: msgio
// would make one of any size.
func (c *conn) next() (f frame, buf []byte, err error) {
	n, err := c.nextLen()
	if err != nil {
		return f, nil, err
	}
	if f, ok, err := c.nextInPlace(n); ok || err != nil {
		return f, nil, err
	}
	held := 0
	if n > readBuffer {
		held = account.BufferCap(n)
		c.mu.Lock()
		ended, err := c.err, error(nil)
		if c.covered(n) {
			held = 0
		}
		if ended == nil {
			err = c.account.Grow(held, held)
		}
		c.mu.Unlock()
		switch {
		case ended != nil:
			return f, nil, ended
		case err != nil:
			return c.skim(n, err)
		}
	}
	buf = account.NewBuffer(n)
	if _, err = c.msgs.Read(buf); err == nil {
		f, err = parseFrame(buf, 0)
	}
	f.held = held
	c.whole.Store(c.consumed())
	if err != nil {
		c.letGo(&f)
		account.FreeBuffer(buf)
		return f, nil, asProtocol(err)
	}
	return f, buf, nil
}

// consumed is how many bytes have been taken of those that came.
func (c *conn) consumed() int64 { return c.read.Load() - int64(c.br.Buffered()) }

// maxLen is how many bytes the length of a frame has at most.
const maxLen = 3

func (c *conn) nextLen() (int, error) {
	before := c.consumed()
	n, err := c.msgs.NextMsgLen()
	if err != nil {
		return 0, err
	}
	// On 32 bits msgio makes a small number of some large ones.
	if n < 1 || n > MaxFrame || c.consumed()-before > maxLen {
		return 0, fmt.Errorf("%w: a frame of %d bytes; from 1 to %d may be", ErrProtocol, n, MaxFrame)
	}
	return n, nil
}

// skim reads a frame for whose body there is no memory. It is an error of the
// call whose message it is of.
func (c *conn) skim(n int, lost error) (f frame, buf []byte, err error) {
	b := make([]byte, min(n, maxHead))
	if _, err = io.ReadFull(c.br, b); err != nil {
		return f, nil, err
	}
	if f, err = parseFrame(b, n-len(b)); err != nil {
		return f, nil, asProtocol(err)
	}
	if _, err = c.br.Discard(n - len(b)); err != nil {
		return f, nil, err
	}
	c.msgs = msgio.NewVarintReaderSize(c.br, MaxFrame) // the last has not seen the frame go
	c.whole.Store(c.consumed())
	f.body, f.lost = nil, lost
	switch f.kind {
	case kindRequest, kindReply, kindData, kindOpen, kindBytes, kindEnd:
		return f, nil, nil
	}
	if f.unsure {
		return f, nil, nil
	}
	return f, nil, lost
}

func asProtocol(err error) error {
	if errors.Is(err, errFrame) {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return err
}

// letGo gives back what was accounted for a frame's buffer, unless a message
// has taken it.
func (c *conn) letGo(f *frame) {
	if f.held > 0 {
		c.mu.Lock()
		c.account.Release(f.held)
		c.mu.Unlock()
		f.held = 0
	}
}

// end ends the session, once; the first reason is the one. The mutex is held.
func (c *conn) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.tell(false)
	if c.timer != nil {
		c.timer.Stop()
	}
	after := c.side.ending(err) // while there is a queue: calls may be in nothing else
	for _, m := range c.queue.all() {
		c.forget(m)
	}
	c.partial = nil
	c.account.End()
	go func() { // neither may hold up who ends the session
		if errors.Is(err, ErrIdle) {
			_ = c.st.Close()
		} else {
			_ = c.st.SetWriteDeadline(time.Unix(1, 0)) // WebRTC goes on writing after a reset
			_ = c.st.Reset()
		}
		after()
	}()
}
