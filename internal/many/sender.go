package many

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

// Sender sends one's arguments to many, and holds some for each. Its methods are
// safe for concurrent use.
type Sender[A any] struct {
	Config
	branches map[peer.ID]*Branch[A] // never changed
	given    <-chan struct{}        // of the caller's context, which ends before those made from it
	turn     chan struct{}          // is full while somebody sends
	closed   bool                   // whose turn it is may look
}

// Branch is one of its peers.
type Branch[A any] struct {
	Ctx    context.Context // ends with the call
	Peer   peer.ID
	of     *Sender[A]
	queue  chan A
	cancel context.CancelFunc
	gaveUp atomic.Pointer[error] // why it was ended from here
}

// NewSender returns a Sender for calls whose context is ctx; given is that of their
// caller.
func NewSender[A any](ctx, given context.Context, dests []peer.ID, c Config) *Sender[A] {
	s := &Sender[A]{Config: c, branches: make(map[peer.ID]*Branch[A]), given: given.Done(), turn: make(chan struct{}, 1)}
	for _, dest := range dests {
		b := &Branch[A]{of: s, Peer: dest, queue: make(chan A, c.Buffer)}
		b.Ctx, b.cancel = context.WithCancel(ctx)
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

// Send gives arg to all peers that are still there, in the same order to all.
// No peer misses an argument and goes on.
func (s *Sender[A]) Send(ctx context.Context, arg A) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return s.Ended("", nil, call.Ended(ctx))
	}
	if s.closed {
		return io.EOF
	}
	taken, full := 0, []*Branch[A](nil)
	for _, b := range s.branches {
		switch {
		case b.Ctx.Err() != nil:
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
func (s *Sender[A]) sendSlowly(ctx context.Context, arg A, full []*Branch[A]) (taken int, err error) {
	var late <-chan time.Time
	if s.Stall > 0 {
		// One time for all: whoever is not waited for first has had it too.
		timer := time.NewTimer(s.Stall)
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
		case <-b.Ctx.Done():
		case <-late:
			late = isOver
			b.giveUp(call.Fail(call.OfClient, codes.ResourceExhausted,
				"peer %v had no room for an argument for %v", b.Peer, s.Stall).Named().Limited("fan.StallTimeout"))
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
func (b *Branch[A]) offer(arg A) bool {
	select {
	case b.queue <- arg:
		return true
	default:
		return false
	}
}

// Close ends the arguments, unless a context has ended, which may be why there are
// no more. It waits for a send that is under way.
func (s *Sender[A]) Close(ctx context.Context) error {
	if ctx.Err() != nil {
		return s.Ended("", nil, call.Ended(ctx))
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return s.Ended("", nil, call.Ended(ctx))
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

// GiveUp ends the calls of all peers, with an error.
func (s *Sender[A]) GiveUp(f *call.Fault) {
	for _, b := range s.branches {
		b.giveUp(f)
	}
}

// giveUp ends the call of one peer, which it names in the error.
func (b *Branch[A]) giveUp(f *call.Fault) error {
	err := b.of.Ended(b.Peer, nil, f)
	b.gaveUp.CompareAndSwap(nil, &err)
	b.cancel()
	return err
}

// Pass sends what is in the queue, until that is closed or send fails.
func (b *Branch[A]) Pass(send func(context.Context, A) error) {
	for {
		select {
		case arg, more := <-b.queue:
			if !more || send(b.Ctx, arg) != nil {
				return
			}
		case <-b.Ctx.Done():
			return
		}
	}
}

// Over is called when the call is, with its error. It returns that, or why the
// call was given up.
func (b *Branch[A]) Over(err error) error {
	b.cancel()
	if why := b.gaveUp.Load(); why != nil && err != nil {
		return *why
	}
	return err
}
