package flow

import (
	"context"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/yield"
)

// A pipe holds some items, so that not each of them is a change of goroutine,
// and few, so that a slow reader holds up its writer (back pressure): at most
// PipeItems, which take PipeBytes together when they are encoded, but always one.
const (
	PipeItems = 64
	PipeBytes = 256 << 10
)

// Pipe is one direction of a streaming call between a typed end, which the
// program has, and the carrier of the call, whose pump takes the pipe for a source
// or a sink. Items whose type is T on both sides need no reflection.
type Pipe[T any] struct {
	Config
	stats Observer
	late  <-chan time.Time

	mu       sync.Mutex
	ring     []pipeItem[T] // of a power of two
	first, n int
	size     int           // of an item, encoded, as far as is known
	ended    error         // comes after the last item; nil while more may come
	halted   bool          // nobody takes items any more
	told     chan struct{} // see Refuse
	takers   waiters
	putters  waiters
	holds    *account.Holding // what the items in the ring hold of it

	// What a pump is about to put and has taken, and the lengths of those,
	// encoded.
	in, out         T
	inSize, outSize int
	kind            reflect.Kind // T's
}

// pipeItem is an item in a pipe, and what it holds.
type pipeItem[T any] struct {
	v T
	n uint64
}

// Config is what a pipe knows of its call. It does not change while the pipe is in
// use.
type Config struct {
	Most int // items that it holds; at least PipeItems
	Size int // bytes of an encoded item, to begin with

	Call <-chan struct{} // closed when nothing more can be carried
	Over func() error    // the error of a Send that comes too late
	Done <-chan struct{} // closed when a Receive is to give up; nil: never
	Gave func() error    // the error of that Receive

	Ended Failure // the error of a Send or a Receive whose own context has ended
}

// Init prepares the pipe.
func (p *Pipe[T]) Init(c Config) {
	p.Config, p.size = c, c.Size
	p.Most = max(c.Most, PipeItems)
	p.takers.wake, p.putters.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	p.kind = reflect.TypeFor[T]().Kind()
}

// waiters are those who wait for a pipe to change.
type waiters struct {
	n    int
	wake chan struct{}
}

// wakeOne lets one of them go on, which wakes the next if there is more to do.
func (w *waiters) wakeOne() {
	if w.n > 0 {
		select {
		case w.wake <- struct{}{}:
		default: // one is on its way
		}
	}
}

// wakeAll is for the end, of which they all have to know.
func (w *waiters) wakeAll() {
	if w.n > 0 {
		close(w.wake)
		w.wake = make(chan struct{}, 1)
	}
}

// wait returns when the pipe may have changed. The pipe is locked, but not
// while it waits.
func (p *Pipe[T]) wait(w *waiters, ctx, done <-chan struct{}, late <-chan time.Time) (err error) {
	w.n++
	wake := w.wake
	p.mu.Unlock()
	select {
	case <-wake:
	case <-ctx:
		err = errEnded
	case <-done:
		err = ErrStopped
	case <-late:
		err = ErrLate
	}
	p.mu.Lock()
	w.n--
	return err
}

// limit is how many items the pipe may hold.
func (p *Pipe[T]) limit() int {
	if p.size*p.Most <= PipeBytes {
		return p.Most
	}
	return max(1, PipeBytes/p.size)
}

// push adds an item, for which there is room.
func (p *Pipe[T]) push(it pipeItem[T]) {
	if p.n == len(p.ring) {
		grown := make([]pipeItem[T], max(4, 2*len(p.ring)))
		k := copy(grown, p.ring[p.first:])
		copy(grown[k:], p.ring[:p.first])
		p.ring, p.first = grown, 0
	}
	p.ring[(p.first+p.n)&(len(p.ring)-1)] = it
	p.n++
	p.takers.wakeOne()
	if p.putters.n > 0 && p.n < p.limit() {
		p.putters.wakeOne()
	}
}

// pop takes the first item, of which there is one.
func (p *Pipe[T]) pop() (v T) {
	it := &p.ring[p.first]
	v = it.v
	if it.n > 0 {
		p.holds.Free(it.n)
	}
	*it = pipeItem[T]{}
	p.first = (p.first + 1) & (len(p.ring) - 1)
	p.n--
	if p.putters.n > 0 && p.n <= p.limit()/2 {
		p.putters.wakeOne()
	}
	if p.n > 0 {
		p.takers.wakeOne()
	}
	return v
}

// Send is for the typed end: it waits while the pipe is full.
func (p *Pipe[T]) Send(ctx context.Context, v T) error {
	size := sizeOf(&v)
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.ended == nil && !p.halted && !IsClosed(p.Call) {
		if size > 0 {
			p.size = size
		}
		if p.n < p.limit() {
			p.push(pipeItem[T]{v: v})
			return nil
		}
		switch p.wait(&p.putters, ctx.Done(), p.Call, nil) {
		case errEnded:
			return p.Ended(ctx)
		case ErrStopped:
			return p.Over()
		}
	}
	return p.Over()
}

// sizeOf is how long an item will be, about, where that is plain to see.
func sizeOf(ptr any) int {
	switch v := ptr.(type) {
	case *[]byte:
		return len(*v)
	case *string:
		return len(*v)
	}
	return 0
}

// Receive is for the typed end: it waits while the pipe is empty.
func (p *Pipe[T]) Receive(ctx context.Context) (v T, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 && p.ended == nil {
		p.mu.Unlock()
		yield.Now() // whoever fills it may go on, and with more than one
		p.mu.Lock()
	}
	for p.n == 0 && p.ended == nil {
		err = p.wait(&p.takers, ctx.Done(), p.Done, nil)
		switch {
		case err == nil || p.n > 0 || p.ended != nil: // that counts
		case err == errEnded:
			return v, p.Ended(ctx)
		default:
			return v, p.Gave()
		}
	}
	if p.n > 0 {
		return p.pop(), nil
	}
	if p.told != nil {
		close(p.told)
		p.told = nil
	}
	return v, p.ended
}

// Close ends what is put; what is there is still taken. Of several reasons the
// first counts.
func (p *Pipe[T]) Close(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = reason
		p.takers.wakeAll()
		p.putters.wakeAll()
	}
}

// Refuse is Close that returns a channel, which is closed when the typed end has
// come to the reason.
func (p *Pipe[T]) Refuse(reason error) <-chan struct{} {
	told := make(chan struct{})
	p.mu.Lock()
	p.told = told
	p.mu.Unlock()
	p.Close(reason)
	return told
}

// Halt makes whatever is put, or taken by a Pump, an error from now on.
func (p *Pipe[T]) Halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.halted {
		p.halted = true
		p.takers.wakeAll()
		p.putters.wakeAll()
	}
}

// Observe makes o be told of the items; for local calls only.
func (p *Pipe[T]) Observe(o Observer) { p.stats = o }

// Next takes what a typed end has sent.
func (p *Pipe[T]) Next(wait bool) (Item, State, error) {
	it, st, err := p.take(wait)
	if st == HasItem && p.stats != nil {
		p.stats.Out(it.Reflected(), nil)
	}
	return it, st, err
}

func (p *Pipe[T]) take(wait bool) (it Item, st State, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outSize > 0 {
		p.size, p.outSize = p.outSize, 0
	}
	var zero T
	p.out = zero // which has been sent
	for {
		switch {
		case p.halted:
			return it, AtEnd, ErrStopped
		case p.n > 0:
			p.out = p.pop()
			it = itemOf(&p.out)
			it.Size = &p.outSize
			return it, HasItem, nil
		case p.ended != nil:
			return it, AtEnd, nil
		case !wait:
			return it, Idle, nil
		}
		if p.wait(&p.takers, p.Call, nil, nil) != nil && p.n == 0 && p.ended == nil {
			return it, AtEnd, ErrStopped
		}
	}
}

// Fresh returns an item to decode into, and to put.
func (p *Pipe[T]) Fresh() Item {
	if p.kind == reflect.Pointer { // never to nil
		it := NewItem(reflect.TypeFor[T]())
		it.Size = &p.inSize
		return it
	}
	var zero T
	p.in = zero
	return Item{Ptr: &p.in, Size: &p.inSize}
}

// Put hands an item to the typed end. It returns ErrLate when it is late
// before there is room.
func (p *Pipe[T]) Put(it Item) error {
	if p.inSize == 0 {
		p.inSize = sizeOf(it.Ptr) // it comes from no stream
	}
	err := p.give(ValueOf[T](it), it.Holds)
	if err == nil && p.stats != nil {
		p.stats.In(it.Reflected(), nil)
	}
	if err != ErrLate { // or it is put again
		var zero T
		p.in = zero
	}
	return err
}

func (p *Pipe[T]) give(v T, holds *account.Charge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inSize > 0 {
		p.size, p.inSize = p.inSize, 0
	}
	for p.ended == nil && !p.halted {
		if p.n < p.limit() {
			of, n := holds.Taken()
			if n > 0 {
				p.holds = of
			}
			p.push(pipeItem[T]{v, n})
			return nil
		}
		if err := p.wait(&p.putters, p.Call, nil, p.late); err == ErrLate {
			return ErrLate
		} else if err != nil {
			return ErrStopped
		}
	}
	return ErrStopped
}

// assigned is for items of another type that is assignable.
func assigned[T any](from reflect.Value) (v T) {
	reflect.ValueOf(&v).Elem().Set(from)
	return v
}

// LateOn makes put give up when ch has something.
func (p *Pipe[T]) LateOn(ch any) { p.late, _ = ch.(<-chan time.Time) }

// Flush does nothing: what is put is there at once.
func (p *Pipe[T]) Flush() error { return nil }

// End is Close with io.EOF.
func (p *Pipe[T]) End() error {
	p.Close(io.EOF)
	return nil
}
