package flow

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// This file alone touches channels by reflection.

// Ends are the two channels of a streaming call on one side of it: the
// caller's, or the method's. Between NewEnds and Finish they belong to the
// call. Both ends wait on stop as well: they need nobody's help to end.
type Ends struct {
	Src  ChanSource
	Dst  ChanSink
	stop chan struct{}
	once sync.Once
}

// NewEnds makes the ends of two channels. canceled ends both; last, of a method,
// the items that it sends.
func NewEnds(from, to reflect.Value, canceled, last <-chan struct{}) *Ends {
	e := &Ends{stop: make(chan struct{})}
	e.Src.Init(from, e.stop, canceled)
	e.Src.ch.lastOn(last)
	if last == nil {
		e.Src.canceled = canceled
	}
	e.Dst.Init(to, e.stop, canceled)
	e.Src.stop, e.Dst.stop = e.Halt, e.Halt
	return e
}

// Halt makes every wait end at once.
func (e *Ends) Halt() { e.once.Do(func() { close(e.stop) }) }

// Finish ends both and closes the channel that items went to. Neither channel
// is touched afterwards.
func (e *Ends) Finish() {
	e.Halt()
	e.Src.mu.Lock()
	e.Src.over = true
	e.Src.mu.Unlock()
	_ = e.Dst.End()
}

// chanEnd is what the two have in common. The mutex is held while the channel
// is in use, so that finish knows when it no longer is.
type chanEnd struct {
	mu    sync.Mutex
	over  bool
	ch    channel
	stop  func()   // halts both ends
	stats Observer // of the side whose channel it is; local calls only
}

// Halt makes every wait of both ends end at once.
func (c *chanEnd) Halt() { c.stop() }

// Observe makes o be told of the items; for local calls only.
func (c *chanEnd) Observe(o Observer) { c.stats = o }

// Init makes the end one of ch. Every wait ends when stop or canceled is closed.
func (c *chanEnd) Init(ch reflect.Value, stop, canceled <-chan struct{}) {
	c.ch = newChannel(ch, stop, canceled)
}

// ChanSource takes items from a channel until it is closed or, on a method's
// side, until the method has returned and nothing is left in it.
type ChanSource struct {
	chanEnd
	last     bool            // nothing more will be sent
	canceled <-chan struct{} // of a caller
}

// Next is that of [Source].
func (c *ChanSource) Next(wait bool) (it Item, st State, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return it, AtEnd, ErrStopped
	}
	for {
		it, ok, open := c.ch.tryReceive()
		chosen := caseItem
		switch {
		case !open:
			return it, AtEnd, c.closed()
		case !ok && c.last:
			return it, AtEnd, nil
		case !ok && !wait:
			return it, Idle, nil
		case !ok:
			it, chosen, open = c.ch.receive()
		}
		switch {
		case chosen == caseLast:
			c.last = true // what is left is taken without waiting
			continue
		case chosen != caseItem:
			return it, AtEnd, ErrStopped
		case !open:
			return it, AtEnd, c.closed()
		}
		if c.stats != nil {
			c.stats.Out(it.Reflected(), nil)
		}
		return it, HasItem, nil
	}
}

// closed is what the end of the channel means: whoever fills a caller's may have
// stopped because the context has ended, which is no good end.
func (c *ChanSource) closed() error {
	c.last = true
	if IsClosed(c.canceled) {
		return ErrStopped
	}
	return nil
}

// Discard takes what comes and forgets it until last is closed: a method whose caller
// is gone must not wait for it.
func (c *ChanSource) Discard(last <-chan struct{}) {
	c.ch.discard(last)
	<-last
}

// Drain receives and drops what is sent to a caller's channel after its call,
// because senders may wait for a receiver without looking at anything else. It
// returns at once; a goroutine goes on until the channel or stop is closed,
// unless one of them is closed already. n counts such goroutines.
func (c *ChanSource) Drain(stop <-chan struct{}, n *atomic.Int64) {
	if !c.last && c.ch.discardReady() && !IsClosed(stop) {
		n.Add(1)
		go drainArguments(c.ch, stop, n)
	}
}

// drainArguments is a function of its own because stacks show its name: rpctest
// looks for it.
func drainArguments(ch channel, stop <-chan struct{}, n *atomic.Int64) {
	defer n.Add(-1)
	ch.discard(stop)
}

// ChanSink puts items into a channel and closes it at the end.
type ChanSink struct {
	chanEnd
	Holds  *account.Holding // of what is in the channel's buffer, if it is a method's
	queued []uint64         // what each of the last items put there holds
	closed bool             // by its other user
}

// LateOn is that of [LateSink].
func (c *ChanSink) LateOn(ch any) { c.ch.lastOn(ch) }

// Fresh is that of [Target].
func (c *ChanSink) Fresh() Item { return c.ch.fresh() }

// Put returns ErrLate when it is late before there is room.
func (c *ChanSink) Put(it Item) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.over:
		return ErrStopped
	}
	defer func() {
		if recover() != nil { // the caller closed its own replies
			c.over, c.closed, err = true, true, ErrClosed
		}
	}()
	if !c.ch.trySend(it) {
		switch c.ch.send(it) {
		case caseItem:
		case caseLast:
			return ErrLate
		default:
			return ErrStopped
		}
	}
	if c.Holds != nil {
		c.queue(it)
	}
	if c.stats != nil {
		c.stats.In(it.Reflected(), nil)
	}
	c.ch.forget()
	return nil
}

// queue keeps what an item holds while it is in the channel's buffer, and gives
// back what was taken out of it since the last.
func (c *ChanSink) queue(it Item) {
	if len(c.queued) == 0 && (it.Holds == nil || it.Holds.N == 0) {
		return
	}
	_, n := it.Holds.Taken()
	c.queued = append(c.queued, n)
	gone := max(len(c.queued)-c.ch.len(), 0)
	for _, n := range c.queued[:gone] {
		c.Holds.Free(n)
	}
	c.queued = slices.Delete(c.queued, 0, gone)
}

// Flush does nothing: what is put is there at once.
func (c *ChanSink) Flush() error { return nil }

// End closes the channel, once; it may have been closed by its other user.
func (c *ChanSink) End() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		defer func() { _ = recover() }()
		c.ch.close()
	}
	return nil
}

// reflectChannel is a channel of any type.
type reflectChannel struct {
	ch    reflect.Value
	cases []reflect.SelectCase
}

func newReflectChannel(ch reflect.Value, stop, canceled <-chan struct{}) *reflectChannel {
	return &reflectChannel{ch, []reflect.SelectCase{
		caseItem:     {Chan: ch},
		caseStop:     {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(stop)},
		caseCanceled: {Dir: reflect.SelectRecv, Chan: reflect.ValueOf(canceled)},
		caseLast:     {Dir: reflect.SelectRecv},
	}}
}

func (c *reflectChannel) tryReceive() (it Item, ok, open bool) {
	v, ok := c.ch.TryRecv()
	return Item{Value: v}, ok, ok || !v.IsValid()
}

func (c *reflectChannel) receive() (it Item, chosen int, open bool) {
	c.cases[caseItem].Dir = reflect.SelectRecv
	chosen, v, open := reflect.Select(c.cases)
	return Item{Value: v}, chosen, open
}

func (c *reflectChannel) trySend(it Item) bool { return c.ch.TrySend(it.Reflected()) }

func (c *reflectChannel) send(it Item) (chosen int) {
	c.cases[caseItem].Dir, c.cases[caseItem].Send = reflect.SelectSend, it.Reflected()
	chosen, _, _ = reflect.Select(c.cases)
	return chosen
}

func (c *reflectChannel) fresh() Item { return NewItem(c.ch.Type().Elem()) }

func (c *reflectChannel) len() int { return c.ch.Len() }

func (c *reflectChannel) forget() { c.cases[caseItem].Send = reflect.Value{} }

func (c *reflectChannel) close() { c.ch.Close() }

func (c *reflectChannel) lastOn(ch any) { c.cases[caseLast].Chan = reflect.ValueOf(ch) }

func (c *reflectChannel) discardReady() (open bool) {
	for range c.ch.Len() + 1 { // and the end
		if v, ok := c.ch.TryRecv(); !ok {
			return !v.IsValid()
		}
	}
	return true
}

func (c *reflectChannel) discard(last <-chan struct{}) {
	cases := []reflect.SelectCase{
		{Dir: reflect.SelectRecv, Chan: c.ch},
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(last)},
	}
	for {
		if chosen, _, ok := reflect.Select(cases); chosen == 1 || !ok {
			return
		}
	}
}

// Channels panics unless the two are channels that a streaming call can use, of the
// method that is named: the program is wrong, and its own stack says where.
func Channels(method string, args, replies any) (a, r reflect.Value) {
	return channelOf(method, "arguments", args, reflect.RecvDir), channelOf(method, "replies", replies, reflect.SendDir)
}

func channelOf(method, what string, ch any, dir reflect.ChanDir) reflect.Value {
	v := reflect.ValueOf(ch)
	form := "<-chan T"
	if dir == reflect.SendDir {
		form = "chan<- T"
	}
	switch {
	case ch == nil:
		panic(fmt.Sprintf("rpc: %s: the %s must be a chan T or %s, not nil", method, what, form))
	case v.Kind() != reflect.Chan, v.Type().ChanDir()&dir == 0:
		panic(fmt.Sprintf("rpc: %s: the %s must be a chan T or %s, not %v", method, what, form, v.Type()))
	case v.IsNil():
		panic(fmt.Sprintf("rpc: %s: the channel of %s is nil", method, what))
	}
	return v
}

// MakeChan returns a new channel of elem with room for size items.
func MakeChan(elem reflect.Type, size int) reflect.Value {
	return reflect.MakeChan(reflect.ChanOf(reflect.BothDir, elem), size)
}
