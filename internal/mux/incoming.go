package mux

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// Incoming is a call at the server.
type Incoming struct {
	Own      any   // the call of who serves it
	Flow     *Flow // of a streaming call
	s        *Server
	id       uint64
	in       inbound
	first    []byte
	arrived  chan struct{} // closed when all of it has come, or it never will
	failure  error         // why it never will
	canceled func(code uint64, err error)
	why      error // the call is over for the client
	code     uint64
	replied  bool
	over     bool
	passed   bool     // what is still to come of the request is passed over
	HasSlot  bool     // for who serves it
	reply    *message // a large one
}

// First is the beginning of the request: FirstPiece bytes of it, or all, from a
// Client. It is valid until Release; of a streaming call, until a Skip or Read
// of its Flow, or else the end of Serve.
func (in *Incoming) First() []byte { return in.first }

// Size is how long the request is, of which some may still be to come.
func (in *Incoming) Size() int { return in.in.total }

// Whole waits for all of the request, or until ctx ends. What it returns is
// valid until Release, unless kept is true: then it is the caller's, who wanted
// to keep it. That is so of a request of several pieces, if the others come later.
func (in *Incoming) Whole(ctx context.Context, keep bool) (b []byte, kept bool, err error) {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	in.in.keep = keep
	if b, err = in.whole(ctx); err == nil {
		b, kept = in.s.kept(&in.in)
	}
	return b, kept, err
}

// whole waits. The session is locked, but not meanwhile.
func (in *Incoming) whole(ctx context.Context) ([]byte, error) {
	s := in.s
	if in.failure == nil && !in.in.whole() {
		arrived := make(chan struct{})
		in.arrived = arrived
		s.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if in.failure == nil && !in.in.whole() {
			return nil, ctx.Err()
		}
	}
	return in.in.buf, in.failure
}

// GivenUp is the code with which the client has given the call up; 0 if it has not.
func (in *Incoming) GivenUp() uint64 {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	return in.code
}

// Release gives the request's memory back; its bytes must not be used any more.
func (in *Incoming) Release() {
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	if in.in.whole() {
		in.s.drop(&in.in)
	}
}

// OnCancel makes f be called, once, when the client gives the call up, which it
// says the reason of by a code, or when the session ends.
func (in *Incoming) OnCancel(f func(code uint64, err error)) {
	in.s.mu.Lock()
	late := in.why != nil
	if !late {
		in.canceled = f
	}
	in.s.mu.Unlock()
	if late {
		f(in.code, in.why)
	}
}

// Reply sends the reply, of two parts in a row, and returns when neither is
// needed any more. A large one is accounted for, whoever made it: the client
// decides how long it is held. After an ErrMemory there may be another Reply.
func (in *Incoming) Reply(head, body []byte) error {
	s := in.s
	s.mu.Lock()
	if err := in.replies(); err != nil {
		s.mu.Unlock()
		return err
	}
	if errors.Is(in.failure, ErrMemory) && !account.IsForGood(in.failure) { // the client may ask again, when there is more
		s.conclude(in, kindRefuse, []uint64{in.id, refusedForMemory}, cut(in.failure.Error()))
		s.mu.Unlock()
		return nil
	}
	small := message{id: in.id}
	small.set(kindReply, head, body)
	if s.isSmall(&small) {
		s.addWhole(&small)
		s.close(in)
		s.kick(true, false)
		s.mu.Unlock()
		return nil
	}
	m := &message{in: in, id: in.id, owned: small.length}
	m.set(kindReply, head, body)
	in.reply = m
	if err := s.enqueue(m); err != nil {
		s.mu.Unlock()
		return err
	}
	in.replied = true
	sent := make(chan struct{})
	m.sent = sent
	s.kick(true, false)
	s.mu.Unlock()
	<-sent
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.why != nil {
		return in.why
	}
	return s.err
}

// Decline sends the reply, a small one, to a call that the server has no room
// for. Unlike Reply it does not wait for a client that does not read: such a
// one ends the session.
func (in *Incoming) Decline(reply []byte) error {
	s := in.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := in.replies(); err != nil {
		return err
	}
	if in.Flow != nil {
		if len(reply) > in.Flow.credit {
			s.conclude(in, kindAbort, []uint64{in.id}, nil)
		} else {
			s.conclude(in, kindEnd, []uint64{in.id}, reply)
		}
		return s.err
	}
	s.conclude(in, kindReply, []uint64{in.id, uint64(len(reply))}, reply)
	return s.err
}

// replies begins a reply, unless it is too late for one.
func (in *Incoming) replies() error {
	s := in.s
	switch {
	case s.err != nil:
		return s.err
	case in.why != nil:
		return in.why
	case in.replied:
		return errReplied
	}
	if !in.in.whole() { // the rest is passed over
		s.spare(in, errReplied)
		s.passOver(in)
	}
	return nil
}

// tell calls what the server wants called when the client gives up.
func (in *Incoming) tell() {
	in.s.mu.Lock()
	f := in.canceled
	in.canceled = nil
	in.s.mu.Unlock()
	if f != nil {
		f(in.code, in.why)
	}
}
