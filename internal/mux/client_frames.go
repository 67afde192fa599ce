package mux

import (
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// loop reads until the session ends.
func (c *Client) loop() {
	for {
		f, buf, err := c.next()
		c.mu.Lock()
		c.arrived(&f)
		if err == nil && c.err == nil {
			err = c.handle(&f, buf)
		}
		c.account.Release(f.held)
		if err != nil {
			c.end(err)
		}
		stop := c.err != nil
		c.mu.Unlock()
		if stop {
			return
		}
	}
}

// handle takes a frame, and its buffer.
func (c *Client) handle(f *frame, buf []byte) error {
	switch {
	case !c.settled:
	case f.kind == kindReply:
		return c.handleReply(f, buf)
	case f.kind == kindBytes, f.kind == kindEnd:
		return c.handleBytes(f, buf)
	}
	defer account.FreeBuffer(buf)
	if !c.settled && f.kind != kindSettings {
		return fmt.Errorf("%w: it begins with a frame of kind %d, not with settings", ErrProtocol, f.kind)
	}
	if f.unsure {
		return nil
	}
	switch f.kind {
	case kindSettings:
		if c.settled = true; c.limit == 0 {
			c.limit = initialCalls
		}
		err := f.settings(func(key, value uint64) {
			switch key {
			case settingCalls:
				c.limit = int(max(min(value, math.MaxInt32), 1))
			case settingMessage:
				c.most = value
			case settingWindow:
				c.window = int(max(min(value, mostWindow), leastWindow)) // which the client keeps until the call is seen
			}
		})
		c.admit()
		for _, k := range c.open {
			if k.flow != nil {
				k.flow.data.Broadcast()
			}
		}
		return err
	case kindPing:
		return c.answer(kindPong, nil, f.body)
	case kindPong:
		c.pong(f)
		return nil
	case kindGoAway:
		c.goAway(f)
		return nil
	case kindData, kindAbort, kindRefuse, kindGrant, kindBlocked:
	default:
		return fmt.Errorf("%w: frame of kind %d from a server", ErrProtocol, f.kind)
	}
	return c.ofCall(f)
}

// ofCall takes a frame, other than a reply, of a call that is under way.
func (c *Client) ofCall(f *frame) error {
	k := c.open[f.id]
	if k == nil {
		return fmt.Errorf("%w: call %d is not under way", ErrProtocol, f.id)
	}
	switch f.kind {
	case kindGrant, kindBlocked:
		return k.ofFlow(f)
	case kindData:
		if !k.reply {
			return fmt.Errorf("%w: call %d has data before a reply", ErrProtocol, f.id)
		}
		return c.received(k, c.more(&k.in, f))
	case kindRefuse:
		if k.reply || k.flow != nil && k.flow.seen {
			return fmt.Errorf("%w: call %d is refused after a reply", ErrProtocol, f.id)
		}
		switch {
		case k.gone || c.closing:
		case f.num == refusedForNow && !k.again:
			// It was made before the server had said how many it takes.
			k.again = true
			c.again(k, &c.waiting)
			c.admit()
			return nil
		case f.num == refusedForMemory && len(c.open) > 1 && k.starved < maxStarved:
			k.starved++
			c.again(k, &c.starved) // when another has ended
			return nil
		}
		c.finish(k, &RefusedError{f.num, reason(f.body)})
	default:
		c.finish(k, &AbortedError{})
	}
	return nil
}

func (c *Client) handleReply(f *frame, buf []byte) error {
	k := c.open[f.id]
	if k == nil || k.reply || k.flow != nil {
		account.FreeBuffer(buf)
		return fmt.Errorf("%w: a reply to call %d, which waits for none", ErrProtocol, f.id)
	}
	k.reply = true
	c.stopSending(k)
	if k.gone || f.num > uint64(c.lim.Message) {
		k.in.skip = true
	}
	if f.num > math.MaxInt32 {
		account.FreeBuffer(buf)
		return fmt.Errorf("%w: a reply of %d bytes", ErrProtocol, f.num)
	}
	err := c.start(&k.in, f, buf)
	if err == nil && f.num > uint64(c.lim.Message) {
		err = &TooLargeError{f.num, uint64(c.lim.Message), false}
	}
	return c.received(k, err)
}

func (c *Client) receiving(id uint64) *inbound {
	if k := c.open[id]; k != nil && k.reply {
		return &k.in
	}
	return nil
}

// stopSending leaves out what is still to be sent of a request: the server does
// not want it.
func (c *Client) stopSending(k *call) {
	if k.flow != nil {
		return // who passes over what comes too late
	}
	if k.queued {
		c.add(kindCancel, []uint64{k.id, noMore})
		c.kick(false, false)
	}
	c.forget(&k.message)
}

// received goes on after a piece of a reply. An error that is not the
// session's is the call's.
func (c *Client) received(k *call, err error) error {
	if err != nil && !isOfCall(err) {
		return err
	}
	if k.in.whole() {
		c.finish(k, err)
	} else if err != nil {
		c.failed(&k.in, err)
	}
	return nil
}

// maxStarved is how often a call is made again for which there was no memory.
const maxStarved = 10

// again lets a call that was refused wait for another turn.
func (c *Client) again(k *call, in *messages) {
	c.stopSending(k)
	delete(c.open, k.id)
	c.entered--
	if k.flow != nil {
		k.flow.rewind()
	}
	k.off = 0
	k.begun = false
	c.wait(k, in)
}

// finish ends a call for good.
func (c *Client) finish(k *call, err error) {
	c.stopSending(k)
	if err != nil || k.gone {
		c.drop(&k.in)
	}
	// A session has room for what is on its way. What has come is the caller's,
	// who is about to take it.
	c.move(&k.in)
	c.deliver(k, err)
	c.leave(k)
}

// failed ends a call whose reply is not wanted, or does not come.
func (c *Client) failed(in *inbound, err error) {
	for _, k := range c.open {
		if &k.in == in {
			c.drop(in)
			c.deliver(k, err)
			if !k.gone {
				k.gone = true
				c.add(kindCancel, []uint64{k.id, canceled})
				c.kick(false, false)
			}
			return
		}
	}
}

// goAway: what the server has not looked at can be sent elsewhere.
func (c *Client) goAway(f *frame) {
	c.closing = true
	c.away = &GoAwayError{f.num, reason(f.body)}
	ended := &EndedError{Err: c.away}
	c.deliverWaiting(ended)
	for _, m := range c.queue.all() {
		if k := m.call; !k.begun {
			c.entered--
			c.deliver(k, &EndedError{Err: c.away, Sent: k.isSeen()})
		}
	}
	for id, k := range c.open {
		if id > f.id && !k.reply {
			c.forget(&k.message) // of which the server takes no more
			c.finish(k, &EndedError{Err: c.away, Sent: k.isSeen()})
		}
	}
	c.closeIfDone()
}

func (c *Client) done() { c.end(ErrIdle) }

func (c *Client) ticked() {
	c.expire()
	c.relieve()
	for _, k := range c.open {
		if k.flow != nil {
			k.flow.ticked()
		}
	}
	if c.calls() == 0 {
		c.free = nil
	}
}

func (c *Client) idled() { c.end(ErrIdle) }

// WentAway reports whether the server has ended the session for a reason that
// is likely to hold for the next one.
func (c *Client) WentAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away != nil && c.away.Code != 0
}

// Retire lets the calls under way end, and the session after them.
func (c *Client) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	c.closeIfDone()
}

// Close ends the session; its calls end with an EndedError of err.
func (c *Client) Close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}
