package many

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Sending is calls of many peers that all get the same arguments. Its methods are
// safe for concurrent use.
type Sending[A, R any] struct {
	sender    *Sender[A] // nil if the arguments are sent
	fan       *Fan[R]
	finishing sync.Mutex // by one at a time
	finished  bool       // the results are another's
}

// NewSending returns calls that are to be started, and ended.
func NewSending[A, R any](ctx context.Context, dests []peer.ID, c Config) *Sending[A, R] {
	c.InFlight = 0
	f := New[R](ctx, dests, c)
	return &Sending[A, R]{sender: NewSender[A](f.Context(), ctx, dests, c), fan: f}
}

// Sent returns the calls of f, whose argument has been sent.
func Sent[A, R any](f *Fan[R]) *Sending[A, R] { return &Sending[A, R]{fan: f} }

// Start makes the calls. Each takes its arguments from its branch.
func (s *Sending[A, R]) Start(call func(b *Branch[A], emit func(R) bool) Event[R]) {
	s.fan.Start(func(_ context.Context, dest peer.ID, emit func(R) bool) Event[R] {
		return call(s.sender.branches[dest], emit)
	})
}

// Send is [Sender.Send].
func (s *Sending[A, R]) Send(ctx context.Context, arg A) error { return s.sender.Send(ctx, arg) }

// CloseSend ends the arguments.
func (s *Sending[A, R]) CloseSend() error { return s.sender.Close(context.Background()) }

// Close ends the calls, or what is sent to those that go on by themselves.
func (s *Sending[A, R]) Close() error {
	s.fan.Stop()
	if s.fan.WereLetGo() {
		return s.CloseSend()
	}
	return nil
}

// All yields what comes, until there are enough results, and then what comes of calls
// that go on.
func (s *Sending[A, R]) All(ctx context.Context, yield func(Event[R]) bool) {
	if s.fan.WereLetGo() {
		s.fan.Rest(ctx, yield)
	} else if s.fan.Each(ctx, yield) {
		s.fan.End()
	}
}

// Finish ends the arguments and has the results collected, once. When ctx ends before,
// it gives the calls up, unless they are detached.
func (s *Sending[A, R]) Finish(ctx context.Context, collect func(*Fan[R]) error) error {
	giveUp := func() {
		if !s.fan.WereLetGo() {
			s.sender.GiveUp(call.Ended(ctx))
		}
	}
	if s.sender != nil && !s.fan.Detached {
		defer context.AfterFunc(ctx, giveUp)()
	}
	s.finishing.Lock()
	defer s.finishing.Unlock()
	if s.finished {
		return s.fan.Again()
	}
	s.finished = true
	if s.sender != nil && s.sender.Close(ctx) != nil {
		giveUp() // there may be more arguments
	}
	return collect(s.fan)
}
