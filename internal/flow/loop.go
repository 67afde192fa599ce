package flow

import (
	"reflect"
	"sync/atomic"
)

// One is a source of one item, which is there.
type One[T any] struct {
	V      T
	taken  bool
	halted atomic.Bool
}

// Next is that of [Source].
func (o *One[T]) Next(bool) (it Item, st State, err error) {
	switch {
	case o.halted.Load():
		return it, AtEnd, ErrStopped
	case o.taken:
		return it, AtEnd, nil
	}
	o.taken = true
	return itemOf(&o.V), HasItem, nil
}

// Halt is that of [Source].
func (o *One[T]) Halt() { o.halted.Store(true) }

// Ready is that of [Ready].
func (*One[T]) Ready() bool { return true }

// itemOf returns the item that p points to. What an interface holds is the item.
func itemOf[T any](p *T) Item {
	it := Item{Ptr: p}
	if reflect.TypeFor[T]().Kind() == reflect.Interface {
		it.Value = reflect.ValueOf(p).Elem()
	}
	return it
}

// Loop is a sink whose items are the program's, in a loop of its goroutine.
type Loop[T any] struct {
	Yield func(T, error) bool
	Of    interface{ Before() } // is called before the first item
	Left  bool                  // by the program
	Guard bool                  // somebody above would take a panic of the loop for one of its own
	Panic any                   // such a panic
	in    T
	next  bool
}

// Fresh is that of [Target].
func (l *Loop[T]) Fresh() Item {
	if reflect.TypeFor[T]().Kind() == reflect.Pointer {
		return NewItem(reflect.TypeFor[T]())
	}
	var zero T
	l.in = zero
	return Item{Ptr: &l.in}
}

// Put is that of [Sink].
func (l *Loop[T]) Put(it Item) (err error) {
	if !l.next {
		l.next = true
		l.Of.Before()
	}
	v := ValueOf[T](it)
	if l.Guard {
		defer func() {
			if l.Panic = recover(); l.Panic != nil {
				l.Left, err = true, ErrStopped
			}
		}()
	}
	if l.Yield(v, nil) {
		return nil
	}
	l.Left = true
	return ErrStopped
}

// ValueOf returns the item, which may be of another type that is assignable.
func ValueOf[T any](it Item) T {
	if own, ok := it.Ptr.(*T); ok {
		return *own
	}
	if reflect.TypeFor[T]().Kind() == reflect.Pointer {
		if own, ok := it.Ptr.(T); ok {
			return own
		}
	}
	return assigned[T](it.Reflected())
}

// Flush does nothing: the program has what was put.
func (*Loop[T]) Flush() error { return nil }

// End does nothing: the error of the call comes after it.
func (*Loop[T]) End() error { return nil }
