package rig

import (
	"context"
	"errors"
	"sync/atomic"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Streaming has streaming methods of every bad habit.
type Streaming struct {
	Sent   atomic.Int64  // replies of FloodBytes
	Wanted atomic.Int64  // those of them that were sent before it was told to end
	Ended  chan error    // how their contexts ended
	began  chan struct{} // one for each that began, if anybody asks
}

func (*Streaming) Fail(context.Context, <-chan int, chan<- int) error {
	return &rpc.Error{Code: codes.Aborted, Message: "failed"}
}

func (*Streaming) Nothing(context.Context, <-chan int, chan<- int) error { return nil }

func (*Streaming) Unary(context.Context, int, *int) error { return nil }

// Three sends, closes nothing and returns.
func (*Streaming) Three(_ context.Context, _ <-chan int, out chan<- int) error {
	for i := range 3 {
		out <- i
	}
	return nil
}

func (s *Streaming) ThreeAndFail(ctx context.Context, in <-chan int, out chan<- int) error {
	_ = s.Three(ctx, in, out)
	return errors.New("failed after three")
}

func (*Streaming) CloseTwice(_ context.Context, _ <-chan int, out chan<- int) error {
	out <- 1
	close(out)
	close(out)
	return nil
}

func (*Streaming) SendAfterClose(_ context.Context, _ <-chan int, out chan<- int) error {
	out <- 1
	close(out)
	out <- 2
	return nil
}

// Flood sends for ever, and heeds nothing but the end of its context, now and
// then.
func (s *Streaming) Flood(ctx context.Context, _ <-chan int, out chan<- int) error {
	for ctx.Err() == nil {
		out <- 1
	}
	return ctx.Err()
}

// FloodBytes heeds nothing at all: it sends a number of replies of that many
// bytes.
func (s *Streaming) FloodBytes(ctx context.Context, in <-chan [2]int, out chan<- []byte) error {
	n := <-in
	reply := make([]byte, n[1])
	for range n[0] {
		if ctx.Err() == nil {
			s.Wanted.Add(1)
		}
		out <- reply
		s.Sent.Add(1)
	}
	if s.Ended != nil {
		s.Ended <- ctx.Err()
	}
	return nil
}

// Idle takes no argument until its context has ended.
func (s *Streaming) Idle(ctx context.Context, _ <-chan int, _ chan<- int) error {
	s.began <- struct{}{}
	<-ctx.Done()
	s.Ended <- ctx.Err()
	return ctx.Err()
}

func (*Streaming) Echo(_ context.Context, in <-chan int, out chan<- int) error {
	defer close(out)
	for n := range in {
		out <- n
	}
	return nil
}

// Untyped replies with what cannot be encoded third.
func (*Streaming) Untyped(_ context.Context, _ <-chan int, out chan<- any) error {
	out <- 1
	out <- 2
	out <- func() {}
	return nil
}

// NewStreaming returns one, none of whose methods has ended.
func NewStreaming() *Streaming {
	return &Streaming{Ended: make(chan error, 100), began: make(chan struct{}, 100)}
}

// Uneven is slow for the first who calls, and quick for all others.
type Uneven struct {
	calls   atomic.Int32
	Release chan struct{}
	started chan struct{}
	Ended   chan error // of the slow one
}

func (u *Uneven) Count(ctx context.Context, in <-chan []byte, out chan<- int) error {
	slow := u.calls.Add(1) == 1
	u.started <- struct{}{}
	n := 0
	if slow {
		select {
		case <-u.Release:
		case <-ctx.Done():
			u.Ended <- ctx.Err()
			return ctx.Err()
		}
	}
	for range in {
		n++
	}
	out <- n
	return nil
}

// NewUneven returns one for up to 10 calls.
func NewUneven() *Uneven {
	return &Uneven{Release: make(chan struct{}), started: make(chan struct{}, 10), Ended: make(chan error, 10)}
}
