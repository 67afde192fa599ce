package watch

import (
	"context"
	"sync"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Slow says what becomes of a receiver that is too slow.
type Slow uint8

// What there is to choose.
const (
	Wait       Slow = iota // whoever adds an item waits for room
	DropOldest             // the oldest item that was not sent is dropped
	End                    // the watch ends, with [codes.ResourceExhausted]
)

// Queue is between those who know what happens and one watch that tells it. Its methods
// are safe for concurrent use.
type Queue[T any] struct {
	slow Slow
	most int

	mu      sync.Mutex
	items   []T
	dropped int
	closed  bool          // nothing is added any more
	err     error         // with which the watch ends when all items are sent
	changed chan struct{} // is closed, and replaced, when anything has changed
}

// NewQueue returns a queue for a watch, of most items that were not sent, at least one,
// and what becomes of one for which there is no room.
func NewQueue[T any](most int, slow Slow) *Queue[T] {
	return &Queue[T]{slow: slow, most: max(most, 1), changed: make(chan struct{})}
}

func (q *Queue[T]) change() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Add has an item sent. It reports false when the watch is over, or ctx has ended while
// it waited, as it does with [Wait] only.
func (q *Queue[T]) Add(ctx context.Context, item T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.items) >= q.most {
		switch q.slow {
		case DropOldest:
			var none T
			q.items[0] = none
			q.items = q.items[1:]
			q.dropped++
		case End:
			q.items = nil
			q.close(rpc.Errorf(codes.ResourceExhausted, "the receiver is too slow: %d items wait for it", q.most))
		default:
			if !q.await(ctx.Done(), nil) {
				return false
			}
		}
	}
	if q.closed {
		return false
	}
	q.items = append(q.items, item)
	q.change()
	return true
}

// await waits for a change, with the queue unlocked, or until one of the channels is
// closed: then it returns false.
func (q *Queue[T]) await(a, b <-chan struct{}) bool {
	changed := q.changed
	q.mu.Unlock()
	defer q.mu.Lock()
	select {
	case <-changed:
		return true
	case <-a:
	case <-b:
	}
	return false
}

// Close ends the watch with err, or well, when all items are sent.
func (q *Queue[T]) Close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.close(err)
}

func (q *Queue[T]) close(err error) {
	if !q.closed {
		q.closed, q.err = true, err
		q.change()
	}
}

// Dropped is how many items were dropped so far.
func (q *Queue[T]) Dropped() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Serve sends the items, as a method: it returns what the method is to return. It ends
// when the caller has gone, with the error of ctx, the method's context, when Close was
// called, when an item had no room and [End] was chosen, which does not wait for those that
// are left, and, when all items are sent, with [ErrStopping] if the server shuts down.
// It may be called once.
func (q *Queue[T]) Serve(ctx context.Context, out *rpc.Sender[T]) error {
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.items = nil
		q.close(nil)
	}()
	stopping := Stopping(ctx)
	for {
		item, ok, err := q.next(ctx, stopping)
		if !ok {
			return err
		}
		if err := out.Send(ctx, item); err != nil {
			return err
		}
	}
}

// next waits for an item, or returns what the watch has ended with.
func (q *Queue[T]) next(ctx context.Context, stopping <-chan struct{}) (item T, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case ctx.Err() != nil:
			return item, false, ctx.Err()
		case len(q.items) > 0:
			var none T
			item, q.items[0] = q.items[0], none
			q.items = q.items[1:]
			q.change()
			return item, true, nil
		case q.closed:
			return item, false, q.err
		}
		if !q.await(ctx.Done(), stopping) && ctx.Err() == nil && len(q.items) == 0 {
			return item, false, ErrStopping
		}
	}
}
