package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
)

// This file alone touches channels by reflection.

var (
	errStopped = errors.New("rpc: the call is over")
	errClosed  = errors.New("the channel of replies was closed while the call was under way")
	errLate    = errors.New("rpc: too late")
	errEnded   = errors.New("rpc: the context has ended")
)

// ends are the two channels of a streaming call on one side of it: the
// caller's, or the method's. Between newEnds and finish they belong to the
// call. Both ends wait on stop as well: they need nobody's help to end.
type ends struct {
	src  chanSource
	dst  chanSink
	stop chan struct{}
	once sync.Once
}

// newEnds makes the ends of two channels. canceled ends both; last, of a method,
// the items that it sends.
func newEnds(from, to reflect.Value, canceled, last <-chan struct{}) *ends {
	e := &ends{stop: make(chan struct{})}
	e.src.init(from, e.stop, canceled)
	e.src.ch.lastOn(last)
	if last == nil {
		e.src.canceled = canceled
	}
	e.dst.init(to, e.stop, canceled)
	e.src.stop, e.dst.stop = e.halt, e.halt
	return e
}

// halt makes every wait end at once.
func (e *ends) halt() { e.once.Do(func() { close(e.stop) }) }

// finish ends both and closes the channel that items went to. Neither channel
// is touched afterwards.
func (e *ends) finish() {
	e.halt()
	e.src.mu.Lock()
	e.src.over = true
	e.src.mu.Unlock()
	_ = e.dst.end()
}

// chanEnd is what the two have in common. The mutex is held while the channel
// is in use, so that finish knows when it no longer is.
type chanEnd struct {
	mu    sync.Mutex
	over  bool
	ch    channel
	stop  func()    // halts both ends
	stats *recorder // of the side whose channel it is; local calls only
}

func (c *chanEnd) halt() { c.stop() }

func (c *chanEnd) record(r *recorder) { c.stats = r }

func (c *chanEnd) init(ch reflect.Value, stop, canceled <-chan struct{}) {
	c.ch = newChannel(ch, stop, canceled)
}

// chanSource takes items from a channel until it is closed or, on a method's
// side, until the method has returned and nothing is left in it.
type chanSource struct {
	chanEnd
	last     bool            // nothing more will be sent
	canceled <-chan struct{} // of a caller
}

func (c *chanSource) next(wait bool, _ sink) (it item, st state, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return it, stateEnd, errStopped
	}
	for {
		it, ok, open := c.ch.tryReceive()
		chosen := caseItem
		switch {
		case !open:
			return it, stateEnd, c.closed()
		case !ok && c.last:
			return it, stateEnd, nil
		case !ok && !wait:
			return it, stateIdle, nil
		case !ok:
			it, chosen, open = c.ch.receive()
		}
		switch {
		case chosen == caseLast:
			c.last = true // what is left is taken without waiting
			continue
		case chosen != caseItem:
			return it, stateEnd, errStopped
		case !open:
			return it, stateEnd, c.closed()
		}
		if c.stats != nil {
			c.stats.out(it.reflected(), nil)
		}
		return it, stateItem, nil
	}
}

// closed is what the end of the channel means: whoever fills a caller's may have
// stopped because the context has ended, which is no good end.
func (c *chanSource) closed() error {
	c.last = true
	if isClosed(c.canceled) {
		return errStopped
	}
	return nil
}

// discard takes what comes and forgets it until last: a method whose caller
// is gone must not wait for it.
func (c *chanSource) discard(last <-chan struct{}) {
	c.ch.discard(last)
	<-last
}

// drain receives and drops what is sent to a caller's channel after its call,
// because senders may wait for a receiver without looking at anything else. It
// returns at once; a goroutine goes on until the channel or stop is closed,
// unless one of them is closed already.
func (c *chanSource) drain(stop <-chan struct{}) {
	if !c.last && c.ch.discardReady() && !isClosed(stop) {
		go drainArguments(c.ch, stop)
	}
}

// drainArguments is a function of its own because stacks show its name: rpctest
// looks for it.
func drainArguments(ch channel, stop <-chan struct{}) { ch.discard(stop) }

// chanSink puts items into a channel and closes it at the end.
type chanSink struct {
	chanEnd
	holds  *holding // of what is in the channel's buffer, if it is a method's
	queued []uint64 // what each of the last items put there holds
	closed bool     // by its other user
}

func (c *chanSink) lateOn(ch any) { c.ch.lastOn(ch) }

func (c *chanSink) fresh() item { return c.ch.fresh() }

// put returns errLate when it is late before there is room.
func (c *chanSink) put(it item) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errClosed
	case c.over:
		return errStopped
	}
	defer func() {
		if recover() != nil { // the caller closed its own replies
			c.over, c.closed, err = true, true, errClosed
		}
	}()
	if !c.ch.trySend(it) {
		switch c.ch.send(it) {
		case caseItem:
		case caseLast:
			return errLate
		default:
			return errStopped
		}
	}
	if c.holds != nil {
		c.queue(it)
	}
	if c.stats != nil {
		c.stats.in(it.reflected(), nil)
	}
	c.ch.forget()
	return nil
}

// queue keeps what an item holds while it is in the channel's buffer, and gives
// back what was taken out of it since the last.
func (c *chanSink) queue(it item) {
	if len(c.queued) == 0 && (it.holds == nil || it.holds.n == 0) {
		return
	}
	_, n := it.holds.taken()
	c.queued = append(c.queued, n)
	gone := max(len(c.queued)-c.ch.len(), 0)
	for _, n := range c.queued[:gone] {
		c.holds.free(n)
	}
	c.queued = slices.Delete(c.queued, 0, gone)
}

func (c *chanSink) flush() error { return nil }

// end closes the channel, once; it may have been closed by its other user.
func (c *chanSink) end() error {
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

func (c *reflectChannel) tryReceive() (it item, ok, open bool) {
	v, ok := c.ch.TryRecv()
	return item{value: v}, ok, ok || !v.IsValid()
}

func (c *reflectChannel) receive() (it item, chosen int, open bool) {
	c.cases[caseItem].Dir = reflect.SelectRecv
	chosen, v, open := reflect.Select(c.cases)
	return item{value: v}, chosen, open
}

func (c *reflectChannel) trySend(it item) bool { return c.ch.TrySend(it.reflected()) }

func (c *reflectChannel) send(it item) (chosen int) {
	c.cases[caseItem].Dir, c.cases[caseItem].Send = reflect.SelectSend, it.reflected()
	chosen, _, _ = reflect.Select(c.cases)
	return chosen
}

func (c *reflectChannel) fresh() item { return newItem(c.ch.Type().Elem()) }

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

// channelMethod is the ends of a method that has channels.
type channelMethod struct {
	*ends
	method  *method
	in, out reflect.Value
}

// ends makes the two channels of a streaming method, or what is in their place.
func (m *method) ends(ctx context.Context, call *CallInfo, buffer int, returned <-chan struct{}) methodEnds {
	if m.stream != nil {
		return m.stream(ctx, call, buffer)
	}
	in, out := makeChan(m.arg, buffer), makeChan(m.reply, buffer)
	e := newEnds(out, in, ctx.Done(), returned)
	if buffer > 0 && !call.Local {
		e.dst.holds = call.remote.holding()
	}
	return &channelMethod{e, m, in, out}
}

func (c *channelMethod) args() lateSink  { return &c.dst }
func (c *channelMethod) replies() source { return &c.src }

func (c *channelMethod) record(r *recorder) { c.src.stats, c.dst.stats = r, r }

func (c *channelMethod) run(ctx context.Context) error {
	return c.method.reflectCall(ctx, c.in, c.out)
}

// refused can tell the method nothing, until its context has ended.
func (c *channelMethod) refused(error) <-chan struct{} { return closedChan }

var closedChan = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c *channelMethod) noMore(error) { _ = c.dst.end() }

func (c *channelMethod) discard(returned <-chan struct{}) { c.src.discard(returned) }

// checkStreamChannels panics unless the two are channels that a streaming call
// can use, as v0.6 does: the program is wrong, and its own stack says where.
func checkStreamChannels(id ServiceID, args, replies any) (a, r reflect.Value) {
	return checkChannel(id, "arguments", args, reflect.RecvDir), checkChannel(id, "replies", replies, reflect.SendDir)
}

func checkChannel(id ServiceID, what string, ch any, dir reflect.ChanDir) reflect.Value {
	v := reflect.ValueOf(ch)
	form := "<-chan T"
	if dir == reflect.SendDir {
		form = "chan<- T"
	}
	switch {
	case v.Kind() != reflect.Chan:
		panic(fmt.Sprintf("rpc: %v: the %s must be a chan T or %s, not %s", id, what, form, typeName(reflect.TypeOf(ch))))
	case v.Type().ChanDir()&dir == 0:
		panic(fmt.Sprintf("rpc: %v: the %s must be a chan T or %s, not %v", id, what, form, v.Type()))
	case v.IsNil():
		panic(fmt.Sprintf("rpc: %v: the channel of %s is nil", id, what))
	}
	return v
}

func makeChan(elem reflect.Type, size int) reflect.Value {
	return reflect.MakeChan(reflect.ChanOf(reflect.BothDir, elem), size)
}
