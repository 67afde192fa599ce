package flow

import (
	"context"
	"sync"
)

// Outlet is the typed end of a sink that several may use at once: whoever sends puts.
type Outlet[T any] struct {
	To   Sink
	Of   OutletCall
	Call <-chan struct{} // closed when nothing more can be sent; nil: To tells

	mu     sync.Mutex
	item   T
	begun  bool // Before was called
	closed bool
	failed bool // the call was over before its method
}

// OutletCall is the call of an outlet.
type OutletCall interface {
	// Room waits until there is room for an item.
	Room(context.Context) error
	// Before is called before the first item.
	Before() error
	// Failed is told, once, why an item cannot be put.
	Failed(error)
	// Over is the error of a Send that comes too late.
	Over() error
	// Ended is the error of a Send whose own context has ended.
	Ended(context.Context) error
}

// Send sends an item. It waits while there is no room.
func (o *Outlet[T]) Send(ctx context.Context, v T) error {
	err := o.Of.Room(ctx)
	if err != nil && err == ctx.Err() {
		return o.Of.Ended(ctx)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return o.Of.Over()
	}
	if err == nil && IsClosed(o.Call) {
		err = ErrStopped
	}
	if err == nil && !o.begun {
		o.begun = true
		err = o.Of.Before()
	}
	if err == nil {
		var zero T
		o.item = v
		err = o.To.Put(itemOf(&o.item))
		o.item = zero
	}
	if err == nil {
		return nil
	}
	o.closed, o.failed = true, true
	o.Of.Failed(err)
	return o.Of.Over()
}

// Close makes every later Send fail, and reports whether one has before.
func (o *Outlet[T]) Close() (failed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return o.failed
}
