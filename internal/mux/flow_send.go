package mux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// send has sent what may be: at once if it is little, or else in turn with others.
func (f *Flow) send() {
	if !f.begun || f.turn.queued || f.outErr != nil {
		return
	}
	c := f.c
	switch {
	case f.out.n == 0 && !f.last:
	case f.out.n <= smallMessage && f.out.n <= f.credit && len(c.out) <= batchSize:
		c.room(f.out.n + 32)
		before := len(c.out)
		c.out = f.appendPiece(c.out)
		c.queued += uint64(len(c.out) - before)
		f.sent()
	case f.out.n == 0 || f.credit > 0:
		c.queue.turns.push(&f.turn)
	case !f.blocked:
		f.blocked = true
		c.add(kindBlocked, []uint64{f.id})
	}
}

// appendPiece appends the next frame of what is to be sent, and may be.
func (f *Flow) appendPiece(b []byte) []byte {
	n := min(f.out.n, f.credit, FirstPiece)
	k := kindBytes
	if f.last && n == f.out.n {
		k = kindEnd
	}
	return f.appendBytes(b, k, []uint64{f.id}, n)
}

func (f *Flow) appendBytes(b []byte, k kind, numbers []uint64, n int) []byte {
	b = grow(b, n+32)
	b = appendHead(b, k, numbers, n)
	at := len(b)
	b = b[:at+n]
	f.out.read(b[at:])
	if k != kindOpen {
		f.credit -= n
	}
	if f.seen {
		f.c.account.Release(f.out.free())
	}
	return b
}

// sent says that a piece has gone, which may have made room, or been the last.
func (f *Flow) sent() {
	if f.turn.in != nil {
		f.hush(f.out.n > 0 || !f.last)
	}
	if f.out.n < mostQueued {
		f.full.Store(false)
		f.room.Broadcast()
	}
	if f.out.n == 0 && f.last {
		f.outErr = io.EOF
		f.c.side.written(&f.turn)
	}
}

// open sends the frame that opens the call, with what of its bytes is to be sent: all,
// if it is little, and else the head, which it must have.
func (f *Flow) open(id uint64, head int) {
	c := f.c
	f.id, f.turn.id, f.begun = id, id, true
	n := f.out.n
	if n > smallMessage || n > mostChunk && len(c.out) > batchSize {
		n = head
	}
	c.room(n + 32)
	before := len(c.out)
	c.out = f.appendBytes(c.out, kindOpen, []uint64{id, uint64(f.window)}, n)
	c.queued += uint64(len(c.out) - before)
	f.sent()
	f.send()
	f.data.Broadcast()
}

// rewind makes all be sent again: the peer has not looked at the call.
func (f *Flow) rewind() {
	f.c.queue.remove(&f.turn)
	f.out.rewind()
	f.begun, f.blocked, f.stalled = false, false, 0
}

// ticked ends the sending of one that was granted nothing for too long.
func (f *Flow) ticked() {
	f.stalled = countIf(f.stalled, f.begun && f.out.n > 0 && f.credit == 0)
	if f.c.over(f.stalled, f.c.lim.Progress) {
		f.stopOut(ErrStalled)
	}
}

// mayGo takes a grant.
func (f *Flow) mayGo(n uint64) error {
	f.see()
	if n > uint64(math.MaxInt32-f.credit) {
		return fmt.Errorf("%w: call %d is granted %d bytes, and has %d", ErrProtocol, f.id, n, f.credit)
	}
	if n == 0 {
		return nil // which is no progress
	}
	f.credit += int(n)
	f.blocked, f.stalled = false, 0
	f.send()
	f.c.kick(false, false)
	return nil
}

// Give has b sent, which is the Flow's from now on: of the pool, or nobody changes it
// any more. It waits while there is much to be sent. With last it is the end of a
// server's side, and Give waits until all is sent. What a client's Flow has taken goes,
// with the call if that moves; after an [EndedError] that says that nothing was sent b
// is still the caller's.
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
		if f.turn.call == nil || !moves(f.outErr) {
			k.release()
		}
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
	if !last {
		return nil
	}
	for f.outErr == nil {
		f.room.Wait()
	}
	if f.outErr == io.EOF {
		return nil
	}
	return f.outErr
}

// moves reports whether a call that has ended with err can be made on another session.
func moves(err error) bool {
	var ended *EndedError
	return errors.As(err, &ended) && !ended.Sent
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

// Write is Give of a copy.
func (f *Flow) Write(b []byte) (int, error) {
	buf := account.NewBuffer(len(b))
	copy(buf, b)
	if err := f.Give(buf, true, false); err != nil {
		return 0, err
	}
	return len(b), nil
}
