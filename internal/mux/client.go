package mux

import (
	"context"
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
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
	most    uint64  // bytes of a request that the server takes
	window  int     // the first of a call's arguments
	free    []*call // for later
}

// call is one, from Call to its end at the server.
type call struct {
	message
	in      inbound
	start   uint64        // where in all that is written the request begins
	done    chan struct{} // gets one when somebody waits and the call is over
	err     error
	waits   *messages // to enter: where it does
	since   int64     // the tick after which it first waited
	begun   bool
	starved uint8 // times that it was refused for want of memory
	again   bool  // it was refused once already
	late    bool  // it did not begin at once
	reply   bool  // it has begun
	gone    bool  // nobody waits
	over    bool  // done was sent to

	flow     *ClientFlow // of a streaming call
	deadline Deadline

	// Of one that nobody waits for: what is told of its end, and what ends the
	// watch for its context's.
	told  func(Reply, error)
	watch func() bool
}

// NewClient begins a session. ended is called once, when it is over, in a
// goroutine of its own; the session has then let go of the stream.
func NewClient(st Stream, mem account.Memory, lim Limits, ended func(error)) *Client {
	c := &Client{ended: ended, open: make(map[uint64]*call), limit: initialCalls, most: math.MaxInt64, window: leastWindow}
	if lim.Patient {
		c.limit = 0
	}
	c.init(st, mem, lim, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room(64)
	c.out = appendSettings(c.out, settingMessage, uint64(lim.Message))
	c.queued = uint64(len(c.out))
	go c.loop()
	return c
}

// maxFree is how many calls that are over a client keeps for later ones.
const maxFree = 64

// newCall returns one that is like new. A session keeps its own: a channel that
// is made in a bubble of testing/synctest must stay there.
func (c *Client) newCall() *call {
	last := len(c.free) - 1
	if last < 0 {
		return &call{done: make(chan struct{}, 1)}
	}
	k := c.free[last]
	c.free = c.free[:last]
	return k
}

// Reply is a call's, until it is released.
type Reply struct {
	c    *Client
	call *call
}

// Bytes are the reply's.
func (r Reply) Bytes() []byte { return r.call.in.buf }

// Keep returns what Bytes does, and with kept true makes it the caller's: a reply
// of several pieces to a [Request] that wanted to keep it. Release follows.
func (r Reply) Keep() (b []byte, kept bool) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.c.kept(&r.call.in)
}

// Release gives its memory back.
func (r Reply) Release() {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.drop(&r.call.in)
	if r.call.told != nil {
		return
	}
	*r.call = call{done: r.call.done}
	if len(r.c.free) < maxFree {
		r.c.free = append(r.c.free, r.call)
	}
}

// Call sends a request and waits for the reply. What the request holds is not
// touched after it has returned. When ctx ends it returns at once, with ctx's
// error, or an *UnbegunError. Its errors otherwise are *EndedError, *RefusedError, *AbortedError,
// *RequestError, *TooLargeError of a request or a reply, and ErrMemory and
// ErrStalled of a reply.
func (c *Client) Call(ctx context.Context, r *Request) (Reply, error) {
	done := ctx.Done()
	c.mu.Lock()
	k := c.newCall()
	k.prepare(r)
	if err := c.refuses(k); err != nil {
		c.mu.Unlock()
		return Reply{}, err
	}
	c.make(k)
	c.kick(true, done != nil)
	c.mu.Unlock()

	if done == nil {
		<-k.done // a select takes longer
	} else if given := c.await(ctx, k, r.Code); given != nil {
		return Reply{}, given
	}
	if k.err != nil {
		return Reply{}, k.err
	}
	return Reply{c, k}, nil
}

// await waits for the end of the call or of ctx. It returns an error if that of ctx was
// first.
func (c *Client) await(ctx context.Context, k *call, code func(error) uint64) error {
	select {
	case <-k.done:
		return nil
	case <-ctx.Done():
	}
	if err := c.abandon(ctx, k, code); err != nil {
		return err
	}
	<-k.done
	return nil
}

// abandon gives the call up, because of the error that it returns, unless it is over.
func (c *Client) abandon(ctx context.Context, k *call, code func(error) uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.over {
		return nil
	}
	err := ctx.Err()
	if !k.begun {
		err = &UnbegunError{err}
	}
	c.giveUp(k, code(ctx.Err()))
	return err
}

// Start is Call for those who do not wait: told is called with what Call would
// return, once, in a goroutine that is made for it. What the request holds must
// not be touched before.
func (c *Client) Start(ctx context.Context, r *Request, told func(Reply, error)) {
	k := &call{told: told}
	k.prepare(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refuses(k); err != nil {
		go told(Reply{}, err)
		return
	}
	if ctx.Done() != nil {
		code := r.Code
		k.watch = context.AfterFunc(ctx, func() {
			if err := c.abandon(ctx, k, code); err != nil {
				told(Reply{}, err)
			}
		})
	}
	c.make(k)
	c.kick(false, false)
}

// make has the call made when its turn has come.
func (c *Client) make(k *call) {
	c.tell(true)
	if c.waiting.first != nil || c.entered >= c.limit {
		c.wait(k, &c.waiting)
	} else {
		c.enter(k)
	}
}

func (c *Client) refuses(k *call) error {
	switch {
	case c.err != nil:
		return &EndedError{Err: c.err, Before: true}
	case c.closing:
		if c.away == nil {
			return &EndedError{Err: ErrIdle}
		}
		return &EndedError{Err: c.away}
	case uint64(k.length) > c.most:
		return &TooLargeError{uint64(k.length), c.most, true}
	}
	return nil
}

func (c *Client) wait(k *call, in *messages) {
	in.push(&k.message)
	c.waits++
	k.waits, k.late = in, true
	if k.since == 0 {
		k.since = c.ticks + 1
	}
}

func (c *Client) unwait(k *call) {
	k.waits.remove(&k.message)
	c.waits--
	k.waits = nil
}

// expire ends the calls that have waited too long for a place.
func (c *Client) expire() {
	for m := c.waiting.first; m != nil; {
		k := m.call
		m = m.next
		if c.over(int(c.ticks-k.since)-1, c.lim.Queue) {
			c.unwait(k)
			c.deliver(k, &NoPlaceError{c.limit})
		}
	}
}

// enter makes the call one of those under way.
func (c *Client) enter(k *call) {
	c.entered++
	if k.flow != nil {
		c.begin(&k.message)
		k.flow.enter()
		return
	}
	if c.isSmall(&k.message) {
		c.begin(&k.message)
		c.addWhole(&k.message)
		return
	}
	k.late = true
	if err := c.enqueue(&k.message); err != nil {
		c.entered--
		c.deliver(k, &RequestError{err})
	}
}

// begin gives the call its ID.
func (c *Client) begin(m *message) {
	k := m.call
	k.tellTime()
	c.last++
	m.id, k.start, k.begun = c.last, c.queued, true
	c.open[m.id] = k
}

func (c *Client) written(*message) {}

func (c *Client) calls() int { return len(c.open) + c.queueLen() + c.waits }

// queueLen counts those that have entered and not begun.
func (c *Client) queueLen() int { return c.entered - len(c.open) }

// giveUp ends a call for its caller.
func (c *Client) giveUp(k *call, code uint64) {
	k.gone = true
	if k.flow != nil {
		k.flow.stop(ErrStopped)
	}
	switch {
	case c.err != nil:
	case k.begun:
		c.forget(&k.message)
		c.drop(&k.in)
		c.add(kindCancel, []uint64{k.id, code})
		c.kick(false, false)
	case k.waits != nil:
		c.unwait(k)
		c.closeIfDone()
	default:
		c.forget(&k.message)
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
	c.forget(&k.message)
	if k.flow != nil {
		k.flow.over(err)
		return
	}
	if k.told == nil {
		k.done <- struct{}{}
		return
	}
	if k.watch != nil {
		k.watch()
	}
	go func() {
		if k.err != nil {
			k.told(Reply{}, k.err)
			return
		}
		k.told(Reply{c, k}, nil)
	}()
}

func (c *Client) ending(err error) func() {
	if c.away != nil && c.away.Code != 0 { // which is why
		err = fmt.Errorf("%w (%w)", c.away, err)
	}
	c.deliverWaiting(&EndedError{Err: err})
	for _, m := range c.queue.all() {
		if k := m.call; !k.begun {
			c.deliver(k, &EndedError{Err: err, Sent: k.isSeen()})
		}
		c.forget(m)
	}
	for _, k := range c.open {
		c.drop(&k.in)
		c.deliver(k, &EndedError{Err: err, Sent: k.start < c.handed || k.isSeen()})
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
