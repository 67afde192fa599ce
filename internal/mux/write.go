package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/yield"
)

// kick makes somebody write: the caller, once, if it may wait for that, and
// otherwise a goroutine until nothing is left. The mutex is held.
func (c *conn) kick(self, cancellable bool) {
	if c.writing || !c.pending() {
		return
	}
	c.writing = true
	// The first write has libp2p's negotiation with it, and must not be stopped.
	if self && (c.wrote || !cancellable) {
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

func (c *conn) pending() bool { return len(c.out) > 0 || len(c.rest) > 0 || c.nextPiece() }

// nextPiece reports whether a piece of a large message may be sent.
func (c *conn) nextPiece() bool { return !c.queue.empty() && c.pace.open() }

// rests says that nobody writes any more.
func (c *conn) rests() {
	c.writing = false
	if cap(c.out) > readBuffer || c.err != nil {
		account.FreeBuffer(c.out)
		c.out = nil
	}
	c.closeIfDone()
}

// closeIfDone ends a session that takes no more calls when it has none left.
func (c *conn) closeIfDone() {
	if c.closing && c.err == nil && !c.writing && !c.pending() && c.side.calls() == 0 {
		c.side.done()
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
		yielded := yield.Now()
		c.mu.Lock()
		if c.err != nil {
			return
		}
		if !yielded || c.queued == before {
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
	account.FreeBuffer(buf)
	if err == nil {
		c.wrote = true
		return
	}
	if c.wrote { // of the first write n says nothing: it is 0 whatever was sent
		c.handed -= uint64(len(b) - n)
	}
	c.end(err)
}

// crowded reports whether somebody else may soon have something to write: a call that
// waits for its answer, or one whose request has been read and not yet looked at.
func (c *conn) crowded() bool {
	return c.side.calls()-c.quietFlows > 1 || c.read.Load() != c.whole.Load()
}

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
	for first := true; c.nextPiece() && (first || len(b)+FirstPiece < piecesAtOnce); first = false {
		m := c.queue.next()
		if m.flow == nil && m.off == 0 {
			c.side.begin(m)
		}
		before := len(b)
		if m.flow != nil {
			b = m.flow.appendPiece(b)
		} else {
			b = m.appendPiece(b)
		}
		b = c.pace.count(b, len(b)-before)
		c.queued += uint64(len(b) - before)
		switch {
		case m.flow != nil:
			m.flow.sent()
			m.flow.send()
		case m.off < m.length:
			c.queue.again(m)
		default:
			c.queue.done(m)
			c.forget(m)
			c.side.written(m)
		}
	}
	return b
}

// pong takes the answer to a ping, which may have made room.
func (c *conn) pong(f *frame) {
	c.pace.answered(f.body)
	if c.pace.overdue() {
		c.add(kindPing, nil, c.pace.mark())
	}
	c.kick(false, false)
}

// forget says that nothing of the message's memory is needed any more.
func (c *conn) forget(m *message) {
	c.queue.remove(m)
	c.account.Release(m.used)
	m.used = 0
	if m.sent != nil {
		close(m.sent)
		m.sent = nil
	}
}

// enqueue has a message sent in pieces. What of it is the library's is
// accounted for.
func (c *conn) enqueue(m *message) error {
	if m.length > smallMessage {
		switch err := c.account.Hold(m.owned, m.owned); {
		case err == nil:
			m.used = m.owned
		case m.call != nil && account.IsPassing(err): // the program's own making
		default:
			return err
		}
	}
	c.queue.push(m)
	return nil
}

// isSmall reports whether a message is to be copied, to go with the next
// frames.
func (c *conn) isSmall(m *message) bool { return m.length <= smallMessage && len(c.out) <= batchSize }

// addWhole appends a small message.
func (c *conn) addWhole(m *message) {
	c.room(m.length + 32)
	before := len(c.out)
	c.out = m.appendPiece(c.out)
	c.queued += uint64(len(c.out) - before)
}

var errUnread = fmt.Errorf("%w: it does not read the answers to what it sends", ErrProtocol)

// backlogged reports whether more waits for a client that does not read than one has
// that waits for the ends of all its calls.
func (c *conn) backlogged() bool {
	return len(c.out) > maxBacklog+backlogOfCall*min(c.lim.Calls, maxBacklogOf)
}

// answer appends a frame that the peer has caused. One that causes more than
// it reads is not to have memory for it.
func (c *conn) answer(k kind, numbers []uint64, body []byte) error {
	if len(c.out) > maxBacklog {
		return errUnread
	}
	c.add(k, numbers, body)
	c.kick(false, false)
	return nil
}

// add appends a small frame.
func (c *conn) add(k kind, numbers []uint64, body ...[]byte) {
	n := maxHead + binary.MaxVarintLen64
	for _, b := range body {
		n += len(b)
	}
	c.room(n)
	before := len(c.out)
	c.out = appendFrame(c.out, k, numbers, body...)
	c.queued += uint64(len(c.out) - before)
}

func (c *conn) room(n int) {
	if c.out == nil {
		c.out = account.NewBuffer(max(n, 1<<10))[:0]
	}
	c.out = grow(c.out, n)
}

// grow makes room for n more bytes in b, and for more of them later.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return account.GrowBuffer(b, max(n, 2*cap(b)-len(b)))
}
