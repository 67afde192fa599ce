// Package flow moves the items of streaming calls: from sources to sinks, which
// are channels of any type, typed pipes, and, in the carriers, streams. It knows
// nothing of what a call is.
package flow

import (
	"context"
	"errors"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/yield"
)

// Errors of sources and sinks. A source or a sink also returns the errors of
// whatever it stands for.
var (
	ErrStopped = errors.New("rpc: the call is over")
	ErrClosed  = errors.New("the channel of replies was closed while the call was under way")
	ErrLate    = errors.New("rpc: too late")

	errEnded = errors.New("rpc: the context has ended")
)

// Item is one item of a stream.
type Item struct {
	Value reflect.Value   // the item; not valid if a typed end holds it
	Ptr   any             // points to the item, if that is known
	Size  *int            // where to store its encoded length; nil if nobody asks
	Holds *account.Charge // what a decoded item holds of its peer's account
}

// NewItem returns a new value of a type, with a pointer to decode it by. Where
// the type is a pointer, it points to a new value: a method or a caller that
// asked for items never gets nil.
func NewItem(t reflect.Type) Item {
	if t.Kind() == reflect.Pointer {
		p := reflect.New(t.Elem())
		return Item{Value: p, Ptr: p.Interface()}
	}
	p := reflect.New(t)
	return Item{Value: p.Elem(), Ptr: p.Interface()}
}

// Reflected returns the item's value.
func (it Item) Reflected() reflect.Value {
	if it.Value.IsValid() {
		return it.Value
	}
	return reflect.ValueOf(it.Ptr).Elem()
}

// Encodable returns the item, or a pointer to it, for an encoder.
func (it Item) Encodable() any {
	if it.Value.IsValid() {
		return it.Value.Interface()
	}
	return it.Ptr
}

// Sized stores the item's encoded length for whoever asks.
func (it Item) Sized(n int) {
	if it.Size != nil {
		*it.Size = n
	}
}

// State says what a source has.
type State uint8

// The states of a source.
const (
	HasItem State = iota // it returned an item
	Idle                 // nothing without waiting
	AtEnd                // nothing any more
)

// Source is where one direction of a streaming call comes from: a channel, a
// pipe, or a stream.
type Source interface {
	// Next returns the next item, which is valid until the following call.
	// Without wait it returns Idle rather than block.
	Next(wait bool) (Item, State, error)
	// Halt makes a Next that waits, and every later one, return an error at once.
	Halt()
}

// Sink is where one direction of a streaming call goes to.
type Sink interface {
	Put(Item) error
	// Flush follows the last Put when there is nothing more for now.
	Flush() error
	// End follows the last item.
	End() error
}

// Target is a sink that makes the items which a decoder fills.
type Target interface {
	Sink
	// Fresh returns an item to be decoded into, for the next Put.
	Fresh() Item
}

// LateSink is a target whose Put can be made to give up.
type LateSink interface {
	Target
	// LateOn makes a Put that waits for room return ErrLate when ch, a channel of
	// structs or of times, has something.
	LateOn(ch any)
}

// Ready is a source that may have all its items ready, and then never waits.
type Ready interface{ Ready() bool }

// Observer is told of items; data is the item's encoding, if there is one.
type Observer interface {
	In(item reflect.Value, data []byte)
	Out(item reflect.Value, data []byte)
}

// Observed is a source or a sink that can tell of its items.
type Observed interface{ Observe(Observer) }

// Failure makes the error that a pipe returns to the program when ctx has ended.
type Failure func(ctx context.Context) error

// Pump moves items until the source ends or either side fails. It flushes
// when the source has nothing ready, not after each item; whoever fills the
// source gets the chance to go on before that.
func Pump(src Source, dst Sink) error { return PumpAfter(src, dst, nil) }

// PumpAfter is Pump that calls before, if it is not nil, with whether there is an item,
// when there is one or src has ended. It leaves dst alone until then.
func PumpAfter(src Source, dst Sink, before func(item bool) error) error {
	for {
		it, st, err := src.Next(false)
		for try := 0; try < 2 && st == Idle && err == nil && yield.Now(); try++ {
			it, st, err = src.Next(false)
		}
		if st == Idle && err == nil {
			if before == nil {
				if err = dst.Flush(); err != nil {
					return err
				}
			}
			it, st, err = src.Next(true)
		}
		if err == nil && before != nil {
			err, before = before(st == HasItem), nil
		}
		switch {
		case err != nil:
			return err
		case st == AtEnd:
			return dst.End()
		}
		if err := dst.Put(it); err != nil {
			return err
		}
	}
}

// IsClosed reports whether a channel on which nothing is sent is closed.
func IsClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
