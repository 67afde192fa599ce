package mux

import (
	"fmt"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// ClientFlow is a client's side of a streaming call, from Open to Close.
type ClientFlow struct {
	Flow
	client *Client
	call   call
	head   int // how much of what goes out the first frame has to have
}

// Open makes a streaming call. What it sends begins with first, a buffer of the pool, of
// which so many bytes go with the first frame at least; more can be given at once. The
// call waits for its place by itself, and d is the call's deadline. Its errors are those of [Client.Call], now or of
// what reads and writes. After an [EndedError] first is still the caller's.
func (c *Client) Open(first []byte, head int, d Deadline) (*ClientFlow, error) {
	f := &ClientFlow{client: c, head: head}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &f.call
	k.flow, k.message.call, f.turn.call, k.deadline, k.late = f, k, k, d, true // since there are first bytes
	if err := c.refuses(k); err != nil {
		return nil, err
	}
	window, err := c.firstWindow()
	if err != nil {
		account.FreeBuffer(first)
		return nil, &RequestError{err}
	}
	f.init(&c.conn, window, 0)
	if err := f.queue(chunk{b: first, buf: first}); err != nil {
		f.close()
		return nil, &RequestError{err}
	}
	c.make(k)
	c.kick(true, true)
	return f, nil
}

// enter opens the call, whose turn has come.
func (f *ClientFlow) enter() {
	f.credit = f.client.window
	f.open(f.call.id, f.head)
}

// Greeted reports whether the server has said that it serves sessions.
func (c *Client) Greeted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settled
}

// Entered waits until the call is opened on a session that the server has greeted, or
// is over.
func (f *ClientFlow) Entered() {
	f.locked(func() {
		for !(f.begun && f.client.settled) && !f.ended && f.inErr == nil {
			f.data.Wait()
		}
	})
}

// Cancel gives the call up, unless it is over; code is as by [Request].Code. What waits
// ends.
func (f *ClientFlow) Cancel(code uint64) {
	f.locked(func() {
		if k := &f.call; !k.over && !k.gone {
			f.client.giveUp(k, code)
		}
	})
}

// Unbegun reports whether a call that was given up had waited for its turn, so that
// nothing of it was sent.
func (f *ClientFlow) Unbegun() (waited bool) {
	f.locked(func() { waited = f.call.gone && !f.call.begun })
	return waited
}

// Close gives back what the call holds. It is cancelled if it is not over.
func (f *ClientFlow) Close() {
	f.Cancel(canceled)
	f.locked(f.close)
}

// Unsent returns what was to be sent, after an [EndedError] that says that nothing of it
// was: for another session.
func (f *ClientFlow) Unsent() (b []byte) {
	f.locked(func() {
		f.out.rewind()
		b = account.NewBuffer(f.out.n)
		f.out.read(b)
	})
	return b
}

func (c *Client) flowOf(id uint64) *Flow {
	if k := c.open[id]; k != nil && k.flow != nil {
		return &k.flow.Flow
	}
	return nil
}

// handleBytes takes bytes of a streaming call, and the buffer of their frame.
func (c *Client) handleBytes(f *frame, buf []byte) error {
	kept := false
	defer func() {
		if !kept {
			account.FreeBuffer(buf)
		}
	}()
	k := c.open[f.id]
	if k == nil || k.flow == nil {
		return fmt.Errorf("%w: call %d, a streaming one, is not under way", ErrProtocol, f.id)
	}
	kept, err := k.flow.received(f, buf)
	if err == nil && f.kind == kindEnd {
		c.finish(k, nil)
	}
	return err
}

// ofFlow takes another frame of a streaming call.
func (k *call) ofFlow(f *frame) error {
	switch {
	case k.flow == nil:
		return fmt.Errorf("%w: frame of kind %d of call %d, which is unary", ErrProtocol, f.kind, f.id)
	case f.kind == kindGrant:
		return k.flow.mayGo(f.num)
	}
	return k.flow.isBlocked()
}
