package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

const (
	// firstBuffer is what a conversation starts with on either side: enough
	// for the header and the argument of most calls.
	firstBuffer = 4 << 10

	// unreserved is how much of a buffer is not reserved. libp2p counts the
	// stream itself, and to reserve and release so little would cost about as
	// much as the rest of a small call.
	unreserved = 16 << 10

	// headroom is for what comes before and after a large value: the next
	// ones, of the same size, are then not moved to make room.
	headroom = 4 << 10

	// keepAtOnce is how large a value to be kept may be for room to be made for
	// all of it when unreserved bytes have come: as much as that is nobody's harm.
	keepAtOnce = 17 * unreserved
)

// Stream is the part of a libp2p stream that is used here.
type Stream interface {
	io.ReadWriter
	Deadlines
}

// Conn is one side of a conversation.
type Conn struct {
	R Reader
	W Writer
}

// Init makes c read and write st; see those of the two.
func (c *Conn) Init(st Stream, mem account.Memory, stall time.Duration) {
	c.R.Init(st, mem, stall)
	c.W.Init(st, mem, stall)
}

// Flow is a [Stream] that many share the bytes of.
type Flow interface {
	Stream
	// Await waits for something to read, or the end; if it has to, it calls idle
	// before.
	Await(idle interface{ Idle() })
	// Give has b sent, which is its own from then on; pool says whose it was.
	Give(b []byte, pool, last bool) error
}

// InitFlow is Init for a flow, of which there may be very many: while nothing comes or
// goes they have no buffers.
func (c *Conn) InitFlow(st Flow, mem account.Memory, stall time.Duration) {
	c.R.Init(st, mem, stall)
	c.R.flow = st
	c.R.mem.Init(mem, firstBuffer, 0)
	c.W.flow = st
}

// Share makes both borrow from what their peer is lent.
func (c *Conn) Share(s account.Share) {
	c.R.mem.Share(s)
	c.W.mem.Share(s)
}

// Move makes c, a flow's of which nothing has been read, account to another memory.
func (c *Conn) Move(mem account.Memory, s account.Share) {
	c.R.Close()
	c.R.mem.Init(mem, firstBuffer, 0)
	c.Share(s)
}

// StopWaiting ends a wait of the reader's for memory, and makes later ones fail.
// It may be called at any time.
func (c *Conn) StopWaiting() { c.R.mem.Stop() }

// WaitUntil makes the end of ctx end the reader's waits for memory, too.
func (c *Conn) WaitUntil(ctx context.Context) { c.R.mem.WaitUntil(ctx) }

// Close gives back what both hold. No other call may be running.
func (c *Conn) Close() {
	c.R.Close()
	c.W.Close()
}

// Moved is how many bytes have been read and written; it may be called at any
// time.
func (c *Conn) Moved() (read, written int64) { return c.R.seen.Load(), c.W.sent.Load() }

// ErrMemory is what the refusals of memory are.
var ErrMemory = account.ErrMemory

// ErrStalled says that the other side made no progress for too long.
var ErrStalled = errors.New("no progress")

// Pace says when a Reader's watchdog runs.
type Pace uint8

// A Reader's watchdog runs while there is part of a value (PaceValue), from
// the start (PaceAll), or is the caller's own affair (PaceNone).
const (
	PaceNone Pace = iota
	PaceValue
	PaceAll
)

// Reader takes whole msgpack values off a stream. Its buffer grows with what
// has arrived, within a factor of it, never by what is announced. Not safe for
// concurrent use.
type Reader struct {
	src  io.Reader
	flow Flow // src, if it is one
	mem  account.Account
	dog  Watchdog
	seen atomic.Int64 // bytes read so far
	buf  []byte
	r, w int // buf[r:w] is unread
	scan msgpack.Scanner
	fail error

	keep  bool // the next value is to be kept
	exact bool // buf has room for that and nothing else, and is not of the pool
}

// Init makes r read from st, account to mem, and wait no longer than stall
// where its pace says so. Close gives back what it holds.
func (r *Reader) Init(st Stream, mem account.Memory, stall time.Duration) {
	r.src = st
	r.mem.Init(mem, unreserved, 0)
	r.dog.Init(st, false, stall)
}

// Watch bounds all that is read until Unwatch, which reports false when it
// took longer than d.
func (r *Reader) Watch(d time.Duration) { r.dog.ArmFor(d) }

// Unwatch ends Watch.
func (r *Reader) Unwatch() bool { return r.dog.Disarm() }

// Next returns the next value, valid until the following call. At the end of
// the stream it returns io.EOF, and within a value io.ErrUnexpectedEOF.
func (r *Reader) Next(l msgpack.Limits, pace Pace) ([]byte, error) {
	r.scan.Reset(l)
	for {
		v, ok, err := r.take(l)
		if ok || err != nil {
			return v, err
		}
		if err := r.fill(l, pace == PaceAll || pace == PaceValue && r.w > r.r); err != nil {
			return nil, err
		}
	}
}

// NextToKeep is Next for who may want to keep the value. If kept is true it is
// the caller's, and no larger than it is long: a large one, with nothing behind it.
func (r *Reader) NextToKeep(l msgpack.Limits, pace Pace, keep bool) (v []byte, kept bool, err error) {
	r.keep = keep
	v, err = r.Next(l, pace)
	r.keep = false
	if err != nil || !r.exact || r.r < r.w {
		return v, false, err
	}
	r.mem.Close()
	r.buf, r.r, r.w, r.exact = nil, 0, 0, false
	return v, true, nil
}

// Done says that the last value is not needed any more. Where others may wait for
// the memory that it was read into, that is given back at once.
func (r *Reader) Done() {
	if !r.mem.InDebt() {
		return
	}
	rest := r.buf[r.r:r.w]
	size := max(len(rest), firstBuffer)
	if size >= len(r.buf) {
		return
	}
	buf := account.NewBuffer(size)
	copy(buf, rest)
	r.free()
	r.mem.Release(r.mem.Used() - size)
	r.buf, r.r, r.w, r.exact = buf, 0, len(rest), false
}

// Buffered is Next where that needs no waiting; ok tells.
func (r *Reader) Buffered(l msgpack.Limits) (v []byte, ok bool, err error) {
	r.scan.Reset(l)
	return r.take(l)
}

// Skip passes over v, a whole value, if it is the next and has arrived: that need
// not be looked at.
func (r *Reader) Skip(v []byte) bool {
	if !bytes.HasPrefix(r.buf[r.r:r.w], v) {
		return false
	}
	r.r += len(v)
	return true
}

// Idle gives the buffer back, which is empty: nothing may come for long.
func (r *Reader) Idle() { r.Close() }

// Fill reads once, of a flow that has something to be read.
func (r *Reader) Fill(l msgpack.Limits) error { return r.fill(l, false) }

// AtEnd reports whether the next byte is StreamEnd, waiting for one.
func (r *Reader) AtEnd() (bool, error) {
	for r.r == r.w {
		if err := r.fill(msgpack.Limits{Bytes: firstBuffer}, false); err != nil {
			return false, err
		}
	}
	return r.buf[r.r] == StreamEnd, nil
}

// EndBuffered is AtEnd for what has arrived already.
func (r *Reader) EndBuffered() bool { return r.r < r.w && r.buf[r.r] == StreamEnd }

// Pending reports whether anything has arrived that was not taken.
func (r *Reader) Pending() bool { return r.r < r.w }

// Discard reads and forgets at most n bytes, or up to the end of the stream,
// whose error it returns; nil means that there was more.
func (r *Reader) Discard(n int) error {
	for {
		n -= r.w - r.r
		r.r, r.w = 0, 0
		if n < 0 {
			return nil
		}
		if err := r.fill(msgpack.Limits{Bytes: firstBuffer}, false); err != nil {
			return err
		}
	}
}

// Close returns the buffer and its reservation. No other call may be running.
func (r *Reader) Close() {
	r.mem.Close()
	r.free()
	r.buf, r.r, r.w, r.exact = nil, 0, 0, false
}

// free gives the buffer to the pool, unless it is to be kept.
func (r *Reader) free() {
	if !r.exact {
		account.FreeBuffer(r.buf)
	}
}

func (r *Reader) take(l msgpack.Limits) ([]byte, bool, error) {
	end, done, err := r.scan.Scan(r.buf[r.r:r.w])
	if err != nil || !done {
		return nil, false, err
	}
	if end > l.Bytes {
		return nil, false, &msgpack.LimitError{Limit: msgpack.LimitBytes, Max: l.Bytes}
	}
	v := r.buf[r.r : r.r+end]
	r.r += end
	return v, true, nil
}

// fill reads once, after making room.
func (r *Reader) fill(l msgpack.Limits, watched bool) error {
	err := r.fail
	if err == nil {
		if r.flow != nil && r.r == r.w {
			r.flow.Await(r)
		}
		if err := r.room(l); err != nil {
			return err
		}
		if watched {
			r.dog.Arm()
		}
		var n int
		n, err = r.src.Read(r.buf[r.w:])
		if watched && !r.dog.Disarm() {
			return ErrStalled
		}
		r.w += n
		r.seen.Add(int64(n))
		if n > 0 {
			r.fail = err // comes after what has arrived
			return nil
		}
	}
	if err == io.EOF && r.w > r.r {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *Reader) room(l msgpack.Limits) error {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w < len(r.buf) {
		return nil
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
		return nil
	}
	// Twice as much, or, where the sender says that more is to come, four
	// times, or five if that is all: within a factor of what arrived. A large
	// value to keep has its own memory sooner, for that is not copied again.
	have, need := uint64(len(r.buf)), uint64(r.scan.Need())
	grown := 2 * have
	exact := r.keep && have < need && (need <= 5*have || have >= unreserved && need <= keepAtOnce)
	switch {
	case exact:
		grown = need
	case need <= grown:
	case need <= 5*have:
		grown = need + headroom
	default:
		grown = 4 * have
	}
	size := max(int(min(grown, uint64(l.Bytes))), len(r.buf)+1, firstBuffer)
	// A buffer of the pool takes a power of two, all of which counts.
	pooled := account.BufferCap(size)
	own := exact || pooled > max(min(int(4*have), l.Bytes), firstBuffer)
	if !own {
		size = pooled
	}
	whole := max(size, int(min(need, uint64(l.Bytes))))
	if err := r.mem.GrowOrWait(size-r.mem.Used(), whole); err != nil {
		return err
	}
	var buf []byte
	if own {
		buf = account.Unzeroed(size)
	} else {
		buf = account.NewBuffer(size)
	}
	copy(buf, r.buf[:r.w])
	r.free()
	r.buf, r.exact = buf, exact
	return nil
}
