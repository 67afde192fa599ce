package rpc

import (
	"context"
	"io"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// A pipe holds some items, so that not each of them is a change of goroutine,
// and few, so that a slow reader holds its writer up: as many as are pipeBytes
// together when they are encoded, and one at least.
const (
	pipeItems = 64
	pipeBytes = 256 << 10
)

// pipe is one direction of a streaming call between a typed end, which the
// program has, and what carries the call, whose pump takes the pipe for a
// source or a sink. Items whose type is T on both sides need no reflection.
type pipe[T any] struct {
	id    ServiceID
	peer  peer.ID         // whose method it is, of a caller's
	most  int             // items
	call  <-chan struct{} // closed when nothing more can be carried
	over  func() error    // of a send that comes too late
	done  <-chan struct{} // closed when a receive is to give up
	gave  func() error    // and with what error
	stats *recorder       // of the side whose end it is; local calls only
	late  <-chan time.Time

	mu       sync.Mutex
	ring     []pipeItem[T] // of a power of two
	first, n int
	size     int           // of an item, encoded, as far as is known
	ended    error         // comes after the last item; nil while more may come
	halted   bool          // nobody takes items any more
	told     chan struct{} // see refuse
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

// init prepares the pipe for at most so many items (or pipeItems) of, to begin
// with, a size.
func (p *pipe[T]) init(id ServiceID, most, size int) {
	p.id, p.most, p.size = id, max(most, pipeItems), size
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
func (p *pipe[T]) wait(w *waiters, ctx, done <-chan struct{}, late <-chan time.Time) (err error) {
	w.n++
	wake := w.wake
	p.mu.Unlock()
	select {
	case <-wake:
	case <-ctx:
		err = errEnded
	case <-done:
		err = errStopped
	case <-late:
		err = errLate
	}
	p.mu.Lock()
	w.n--
	return err
}

// limit is how many items the pipe may hold.
func (p *pipe[T]) limit() int {
	if p.size*p.most <= pipeBytes {
		return p.most
	}
	return max(1, pipeBytes/p.size)
}

// push adds an item, for which there is room.
func (p *pipe[T]) push(it pipeItem[T]) {
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
func (p *pipe[T]) pop() (v T) {
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

// send is the typed end's.
func (p *pipe[T]) send(ctx context.Context, v T) error {
	size := sizeOf(&v)
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.ended == nil && !p.halted && !isClosed(p.call) {
		if size > 0 {
			p.size = size
		}
		if p.n < p.limit() {
			p.push(pipeItem[T]{v: v})
			return nil
		}
		switch p.wait(&p.putters, ctx.Done(), p.call, nil) {
		case errEnded:
			return contextError(ctx, p.id).named(p.id, p.peer)
		case errStopped:
			return p.over()
		}
	}
	return p.over()
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

// receive is the typed end's.
func (p *pipe[T]) receive(ctx context.Context) (v T, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 && p.ended == nil {
		p.mu.Unlock()
		runtime.Gosched() // whoever fills it may go on, and with more than one
		p.mu.Lock()
	}
	for p.n == 0 && p.ended == nil {
		err = p.wait(&p.takers, ctx.Done(), p.done, nil)
		switch {
		case err == nil || p.n > 0 || p.ended != nil: // that counts
		case err == errEnded:
			return v, contextError(ctx, p.id).named(p.id, p.peer)
		default:
			return v, p.gave()
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

// close ends what is put; what is there is still taken. Of several reasons the
// first counts.
func (p *pipe[T]) close(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = reason
		p.takers.wakeAll()
		p.putters.wakeAll()
	}
}

// refuse is close that returns a channel, which is closed when the typed end has
// come to the reason.
func (p *pipe[T]) refuse(reason error) <-chan struct{} {
	told := make(chan struct{})
	p.mu.Lock()
	p.told = told
	p.mu.Unlock()
	p.close(reason)
	return told
}

// halt makes whatever is put, or taken by a pump, an error from now on.
func (p *pipe[T]) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.halted {
		p.halted = true
		p.takers.wakeAll()
		p.putters.wakeAll()
	}
}

func (p *pipe[T]) record(r *recorder) { p.stats = r }

// next takes what a typed end has sent.
func (p *pipe[T]) next(wait bool, _ sink) (item, state, error) {
	it, st, err := p.take(wait)
	if st == stateItem && p.stats != nil {
		p.stats.out(it.reflected(), nil)
	}
	return it, st, err
}

func (p *pipe[T]) take(wait bool) (it item, st state, err error) {
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
			return it, stateEnd, errStopped
		case p.n > 0:
			p.out = p.pop()
			it = item{ptr: &p.out, size: &p.outSize}
			if p.kind == reflect.Interface { // what it holds is the item
				it.value = reflect.ValueOf(&p.out).Elem()
			}
			return it, stateItem, nil
		case p.ended != nil:
			return it, stateEnd, nil
		case !wait:
			return it, stateIdle, nil
		}
		if p.wait(&p.takers, p.call, nil, nil) != nil && p.n == 0 && p.ended == nil {
			return it, stateEnd, errStopped
		}
	}
}

// fresh returns an item to decode into, and to put.
func (p *pipe[T]) fresh() item {
	if p.kind == reflect.Pointer { // never to nil
		it := newItem(reflect.TypeFor[T]())
		it.size = &p.inSize
		return it
	}
	var zero T
	p.in = zero
	return item{ptr: &p.in, size: &p.inSize}
}

// put hands an item to the typed end. It returns errLate when it is late
// before there is room.
func (p *pipe[T]) put(it item) error {
	if p.inSize == 0 {
		p.inSize = sizeOf(it.ptr) // it comes from no stream
	}
	err := p.give(p.valueOf(it), it.holds)
	if err == nil && p.stats != nil {
		p.stats.in(it.reflected(), nil)
	}
	if err != errLate { // or it is put again
		var zero T
		p.in = zero
	}
	return err
}

func (p *pipe[T]) give(v T, holds *account.Charge) error {
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
		if err := p.wait(&p.putters, p.call, nil, p.late); err == errLate {
			return errLate
		} else if err != nil {
			return errStopped
		}
	}
	return errStopped
}

func (p *pipe[T]) valueOf(it item) T {
	if own, ok := it.ptr.(*T); ok {
		return *own
	}
	if p.kind == reflect.Pointer {
		if own, ok := it.ptr.(T); ok {
			return own
		}
	}
	return assigned[T](it.reflected())
}

// assigned is for items of another type that is assignable.
func assigned[T any](from reflect.Value) (v T) {
	reflect.ValueOf(&v).Elem().Set(from)
	return v
}

// lateOn makes put give up when ch has something.
func (p *pipe[T]) lateOn(ch any) { p.late, _ = ch.(<-chan time.Time) }

func (p *pipe[T]) flush() error { return nil }

func (p *pipe[T]) end() error {
	p.close(io.EOF)
	return nil
}
