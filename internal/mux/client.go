package mux

import (
	"context"
	"fmt"
	"math"
	"sync"

	pool "github.com/libp2p/go-buffer-pool"
)

// initialCalls is how many calls a client may have under way before the server
// has said how many it takes.
const initialCalls = 32

// Client is the side of a session that calls. Its methods are safe for
// concurrent use.
type Client struct {
	conn
	ended   func(error)
	last    uint64           // the last call's ID
	open    map[uint64]*call // those whose request has begun
	entered int              // those, and those whose turn to begin has come
	limit   int              // of entered
	waiting messages         // for that
	starved messages         // which the server had no memory for
	waits   int              // of both
	away    *GoAwayError
	most    uint64 // bytes of a request that the server takes
}

// call is one, from Call to its end at the server.
type call struct {
	message
	in    inbound
	start uint64        // where in all that is written the request begins
	done  chan struct{} // gets one when somebody waits and the call is over
	err   error
	waits *messages // to enter: where it does
	begun bool
	again bool // it was refused once already
	reply bool // it has begun
	gone  bool // nobody waits
	over  bool // done was sent to
}

// The codes of a cancel and a refusal that mean something here. The first is
// no code of gRPC's errors, the others are.
const (
	noMore           = 0  // the call goes on, but no more of the request comes
	canceled         = 1  // CANCELLED
	refusedForMemory = 8  // RESOURCE_EXHAUSTED
	refusedForNow    = 14 // UNAVAILABLE: the client may ask again
)

// EndedError says that the session ended, or takes no more calls.
type EndedError struct {
	Err error
	// Sent is whether anything of the request may have reached the server. If
	// not it can be sent again elsewhere.
	Sent bool
}

func (e *EndedError) Error() string {
	if e.Sent {
		return fmt.Sprintf("the session ended while the request was under way: %v", e.Err)
	}
	return fmt.Sprintf("the session ended before the request was sent: %v", e.Err)
}

func (e *EndedError) Unwrap() error { return e.Err }

// GoAwayError says that the server takes no more calls on the session, and why.
type GoAwayError struct {
	Code uint64
	Text string
}

func (e *GoAwayError) Error() string {
	return "the peer takes no more calls on this session: " + e.Text
}

// RefusedError says that the server did not look at the request.
type RefusedError struct {
	Code uint64
	Text string
}

func (e *RefusedError) Error() string { return e.Text }

// AbortedError says that the server ended the call without a reply.
type AbortedError struct{}

func (*AbortedError) Error() string { return "the server ended the call without a reply" }

// NewClient begins a session. ended is called once, when it is over, in a
// goroutine of its own; the session has then let go of the stream.
func NewClient(st Stream, mem Memory, lim Limits, ended func(error)) *Client {
	c := &Client{ended: ended, open: make(map[uint64]*call), limit: initialCalls, most: math.MaxInt64}
	c.init(st, mem, lim, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room(64)
	c.out = appendSettings(c.out, settingMessage, uint64(lim.Message))
	c.queued = uint64(len(c.out))
	go c.loop()
	return c
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// Reply is a call's, until it is released.
type Reply struct {
	c    *Client
	call *call
}

// Bytes are the reply's.
func (r Reply) Bytes() []byte { return r.call.in.buf }

// Release gives its memory back.
func (r Reply) Release() {
	r.c.mu.Lock()
	r.c.drop(&r.call.in)
	r.c.mu.Unlock()
	*r.call = call{done: r.call.done}
	calls.Put(r.call)
}

// Call sends a request, of two parts in a row, and waits for the reply. The
// parts are not touched after it has returned. When ctx ends it returns
// at once, with ctx's error, and the server is told the code that reason
// returns, which is not 0. Its errors otherwise are *EndedError, *RefusedError,
// *AbortedError, *TooLargeError, of a request or a reply, and ErrMemory and
// ErrStalled, of a reply.
func (c *Client) Call(ctx context.Context, head, body []byte, reason func() uint64) (Reply, error) {
	k := calls.Get().(*call)
	k.message.call = k
	k.set(kindRequest, head, body)
	done := ctx.Done()
	c.mu.Lock()
	if err := c.refuses(k); err != nil {
		c.mu.Unlock()
		return Reply{}, err
	}
	if c.waiting.first != nil || !c.enter(k) {
		c.wait(k, &c.waiting)
	}
	c.kick(true, done != nil)
	c.mu.Unlock()

	select {
	case <-k.done:
	case <-done:
		c.mu.Lock()
		if !k.over {
			c.giveUp(k, reason)
			c.mu.Unlock()
			return Reply{}, ctx.Err()
		}
		c.mu.Unlock()
		<-k.done
	}
	if k.err != nil {
		return Reply{}, k.err
	}
	return Reply{c, k}, nil
}

func (c *Client) refuses(k *call) error {
	switch {
	case c.err != nil:
		return &EndedError{Err: c.err}
	case c.closing:
		if c.away == nil {
			return &EndedError{Err: ErrIdle}
		}
		return &EndedError{Err: c.away}
	case uint64(k.length) > c.most:
		return &TooLargeError{uint64(k.length), c.most}
	}
	return nil
}

func (c *Client) wait(k *call, in *messages) {
	in.push(&k.message)
	c.waits++
	k.waits = in
}

func (c *Client) unwait(k *call) {
	k.waits.remove(&k.message)
	c.waits--
	k.waits = nil
}

// enter makes the call one of those under way, if one more may be.
func (c *Client) enter(k *call) bool {
	if c.entered >= c.limit {
		return false
	}
	c.entered++
	if k.length > smallMessage || len(c.out) > batchSize {
		c.queue.push(&k.message)
		return true
	}
	c.begin(&k.message)
	c.room(k.length + 32)
	before := len(c.out)
	c.out = k.appendPiece(c.out)
	c.queued += uint64(len(c.out) - before)
	return true
}

// begin gives the call its ID.
func (c *Client) begin(m *message) {
	k := m.call
	c.last++
	m.id, k.start, k.begun = c.last, c.queued, true
	c.open[m.id] = k
}

func (c *Client) written(*message) {}

func (c *Client) calls() int { return len(c.open) + c.queueLen() + c.waits }

// queueLen counts those that have entered and not begun.
func (c *Client) queueLen() int { return c.entered - len(c.open) }

// giveUp ends a call for its caller.
func (c *Client) giveUp(k *call, reason func() uint64) {
	k.gone = true
	switch {
	case c.err != nil:
	case k.begun:
		c.queue.remove(&k.message)
		k.forget()
		c.drop(&k.in)
		c.add(kindCancel, []uint64{k.id, reason()})
		c.kick(false, false)
	case k.waits != nil:
		c.unwait(k)
	default:
		c.queue.remove(&k.message)
		c.leave(k)
	}
	k.head, k.body = nil, nil
}

// leave makes room for those that wait.
func (c *Client) leave(k *call) {
	delete(c.open, k.id)
	c.entered--
	c.relieve()
}

// relieve lets those try again that the server had no memory for.
func (c *Client) relieve() {
	for m := c.starved.first; m != nil; m = c.starved.first {
		c.unwait(m.call)
		c.wait(m.call, &c.waiting)
	}
	c.admit()
}

func (c *Client) admit() {
	for m := c.waiting.first; m != nil && c.entered < c.limit; m = c.waiting.first {
		c.unwait(m.call)
		c.enter(m.call)
	}
	c.kick(false, false)
	c.closeIfDone()
}

// deliver tells the caller that the call is over.
func (c *Client) deliver(k *call, err error) {
	if k.gone || k.over {
		return
	}
	k.err, k.over = err, true
	k.forget()
	k.done <- struct{}{}
}

// loop reads until the session ends.
func (c *Client) loop() {
	for {
		f, buf, err := c.next()
		c.mu.Lock()
		if err == nil && c.err == nil {
			err = c.handle(&f, buf)
		}
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
	if f.kind == kindReply {
		return c.handleReply(f, buf)
	}
	defer pool.Put(buf)
	if !c.settled && f.kind != kindSettings {
		return fmt.Errorf("%w: it begins with a frame of kind %d, not with settings", ErrProtocol, f.kind)
	}
	if f.unsure {
		return nil
	}
	switch f.kind {
	case kindSettings:
		c.settled = true
		err := f.settings(func(key, value uint64) {
			switch key {
			case settingCalls:
				c.limit = int(max(min(value, math.MaxInt32), 1))
			case settingMessage:
				c.most = value
			}
		})
		c.admit()
		return err
	case kindPing:
		c.add(kindPong, nil, f.body)
		c.kick(false, false)
		return nil
	case kindPong:
		return nil
	case kindGoAway:
		c.goAway(f)
		return nil
	case kindData, kindAbort, kindRefuse:
	default:
		return fmt.Errorf("%w: frame of kind %d from a server", ErrProtocol, f.kind)
	}
	k := c.open[f.id]
	if k == nil {
		return fmt.Errorf("%w: call %d is not under way", ErrProtocol, f.id)
	}
	switch f.kind {
	case kindData:
		if !k.reply {
			return fmt.Errorf("%w: call %d has data before a reply", ErrProtocol, f.id)
		}
		return c.received(k, c.more(&k.in, f))
	case kindRefuse:
		if k.reply {
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
		case f.num == refusedForMemory && len(c.open) > 1:
			c.again(k, &c.starved) // when another has ended
			return nil
		}
		c.finish(k, &RefusedError{f.num, string(f.body)})
	default:
		c.finish(k, &AbortedError{})
	}
	return nil
}

func (c *Client) handleReply(f *frame, buf []byte) error {
	k := c.open[f.id]
	if k == nil || k.reply {
		pool.Put(buf)
		return fmt.Errorf("%w: a reply to call %d, which waits for none", ErrProtocol, f.id)
	}
	k.reply = true
	c.sendNoMore(k)
	if k.gone || f.num > uint64(c.lim.Message) {
		k.in.skip = true
	}
	if f.num > math.MaxInt32 {
		pool.Put(buf)
		return fmt.Errorf("%w: a reply of %d bytes", ErrProtocol, f.num)
	}
	err := c.start(&k.in, f, buf)
	if err == nil && f.num > uint64(c.lim.Message) {
		err = &TooLargeError{f.num, uint64(c.lim.Message)}
	}
	return c.received(k, err)
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

// again lets a call that was refused wait for another turn.
func (c *Client) again(k *call, in *messages) {
	c.sendNoMore(k)
	head, body := k.head, k.body
	delete(c.open, k.id)
	c.entered--
	k.message = message{call: k}
	k.set(kindRequest, head, body)
	k.begun = false
	c.wait(k, in)
}

// sendNoMore ends the sending of a request that the server does not want all
// of.
func (c *Client) sendNoMore(k *call) {
	if k.queued {
		c.queue.remove(&k.message)
		k.forget()
		c.add(kindCancel, []uint64{k.id, noMore})
		c.kick(false, false)
	}
}

// finish ends a call for good.
func (c *Client) finish(k *call, err error) {
	c.sendNoMore(k)
	if err != nil || k.gone {
		c.drop(&k.in)
	}
	if k.in.used > 0 {
		// A session has room for what is on its way. What has come is the
		// caller's, who is about to take it.
		c.move(&k.in)
	}
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
	c.away = &GoAwayError{f.num, string(f.body)}
	reason := &EndedError{Err: c.away}
	c.deliverWaiting(reason)
	for _, m := range c.queue.all() {
		if k := m.call; !k.begun {
			c.queue.remove(&k.message)
			c.entered--
			c.deliver(k, reason)
		}
	}
	for id, k := range c.open {
		if id > f.id && !k.reply {
			c.finish(k, reason)
		}
	}
	c.closeIfDone()
}

func (c *Client) ending(err error) func() {
	c.deliverWaiting(&EndedError{Err: err})
	for _, k := range c.open {
		c.deliver(k, &EndedError{Err: err, Sent: k.start < c.handed})
	}
	return func() { c.ended(err) }
}

// deliverWaiting ends the calls that wait to enter.
func (c *Client) deliverWaiting(reason error) {
	for _, q := range []*messages{&c.waiting, &c.starved} {
		for m := q.first; m != nil; m = q.first {
			c.unwait(m.call)
			c.deliver(m.call, reason)
		}
	}
}

func (c *Client) ticked() { c.relieve() }

func (c *Client) idled() { c.end(ErrIdle) }

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
