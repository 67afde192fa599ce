package rpc

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// fanSender sends one's arguments to many, and holds some for each.
type fanSender[A any] struct {
	id       ServiceID
	branches map[peer.ID]*fanBranch[A] // never changed
	stall    timeout
	given    <-chan struct{} // of the caller's context, which ends before those made from it
	turn     chan struct{}   // is full while somebody sends
	closed   bool            // whose turn it is may look
}

// fanBranch is one of its peers.
type fanBranch[A any] struct {
	id     ServiceID
	peer   peer.ID
	queue  chan A
	ctx    context.Context // ends with the call
	cancel context.CancelFunc
	gaveUp atomic.Pointer[Error] // why it was ended from here
}

func newFanSender[A any](ctx context.Context, given <-chan struct{}, id ServiceID, dests []peer.ID, f fanConfig) *fanSender[A] {
	s := &fanSender[A]{id: id, branches: make(map[peer.ID]*fanBranch[A]), stall: f.stall, given: given, turn: make(chan struct{}, 1)}
	for _, dest := range dests {
		b := &fanBranch[A]{id: id, peer: dest, queue: make(chan A, f.buffer)}
		b.ctx, b.cancel = context.WithCancel(ctx)
		s.branches[dest] = b
	}
	return s
}

// isOver is the time of those who have waited long enough.
var isOver = func() <-chan time.Time {
	ch := make(chan time.Time)
	close(ch)
	return ch
}()

// send gives arg to all peers that are still there, in the same order to all.
// No peer misses an argument and goes on.
func (s *fanSender[A]) send(ctx context.Context, arg A) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return contextError(ctx, s.id, "")
	}
	if s.closed {
		return io.EOF
	}
	taken, full := 0, []*fanBranch[A](nil)
	for _, b := range s.branches {
		switch {
		case b.ctx.Err() != nil:
		case b.offer(arg):
			taken++
		default:
			full = append(full, b)
		}
	}
	if len(full) == 0 {
		if taken == 0 {
			return io.EOF
		}
		return nil
	}
	n, err := s.sendSlowly(ctx, arg, full)
	if err == nil && taken+n == 0 {
		err = io.EOF
	}
	return err
}

// sendSlowly gives arg to peers that had no room for it.
func (s *fanSender[A]) sendSlowly(ctx context.Context, arg A, full []*fanBranch[A]) (taken int, err error) {
	var late <-chan time.Time
	if s.stall.set {
		// One time for all: whoever is not waited for first has had it too.
		timer := time.NewTimer(s.stall.d)
		defer timer.Stop()
		late = timer.C
	}
	for _, b := range full {
		if b.offer(arg) {
			taken++
			continue
		}
		select {
		case b.queue <- arg:
			taken++
		case <-b.ctx.Done():
		case <-late:
			late = isOver
			b.giveUp(call.Fail(call.OfClient, codes.ResourceExhausted,
				"peer %v had no room for an argument for %v", b.peer, s.stall.d).Named().Limited("FanStallTimeout"))
		case <-ctx.Done():
			ended := b.giveUp(call.Ended(ctx))
			if err == nil { // the one that was waited for
				err = ended
			}
		}
	}
	return taken, err
}

// offer gives the branch an argument if there is room.
func (b *fanBranch[A]) offer(arg A) bool {
	select {
	case b.queue <- arg:
		return true
	default:
		return false
	}
}

// closeSend ends the arguments, unless a context has ended, which may be why
// there are no more. It waits for a send that is under way.
func (s *fanSender[A]) closeSend(ctx context.Context) error {
	if ctx.Err() != nil {
		return contextError(ctx, s.id, "")
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return contextError(ctx, s.id, "")
	}
	if s.closed {
		return nil
	}
	s.closed = true
	ended := flow.IsClosed(s.given)
	for _, b := range s.branches {
		if ended {
			b.cancel()
		} else {
			close(b.queue)
		}
	}
	return nil
}

// giveUp ends the calls of all peers, with an error.
func (s *fanSender[A]) giveUp(f *call.Fault) {
	for _, b := range s.branches {
		b.giveUp(f)
	}
}

// giveUp ends the call of one peer, which it names in the error.
func (b *fanBranch[A]) giveUp(f *call.Fault) *Error {
	err := view{id: b.id, peer: b.peer, client: true, typed: true}.render(f)
	b.gaveUp.CompareAndSwap(nil, err)
	b.cancel()
	return err
}

// pass sends what is in the queue, until that is closed or send fails.
func (b *fanBranch[A]) pass(send func(context.Context, A) error) {
	for {
		select {
		case arg, more := <-b.queue:
			if !more || send(b.ctx, arg) != nil {
				return
			}
		case <-b.ctx.Done():
			return
		}
	}
}

// ended is called when the call is over, with its error. It returns that, or
// why the call was given up.
func (b *fanBranch[A]) ended(err error) error {
	b.cancel()
	if why := b.gaveUp.Load(); why != nil && err != nil {
		return why
	}
	return err
}
