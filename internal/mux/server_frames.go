package mux

import (
	"errors"
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// handle takes a frame, and its buffer. It returns the request that is to be
// served, or the call that the client has given up.
func (s *Server) handle(f *frame, buf []byte) (in, over *Incoming, err error) {
	if !s.settled && f.kind != kindSettings {
		account.FreeBuffer(buf)
		return nil, nil, fmt.Errorf("%w: it begins with a frame of kind %d, not with settings", ErrProtocol, f.kind)
	}
	switch f.kind {
	case kindRequest:
		in, err = s.request(f, buf)
		return in, nil, err
	case kindOpen:
		in, err = s.opened(f, buf)
		return in, nil, err
	case kindBytes, kindGrant, kindBlocked:
		return nil, nil, s.ofFlow(f, buf)
	}
	defer account.FreeBuffer(buf)
	if f.unsure {
		return nil, nil, nil
	}
	switch f.kind {
	case kindSettings:
		s.settled = true
		return nil, nil, f.settings(func(uint64, uint64) {})
	case kindPing:
		return nil, nil, s.answer(kindPong, nil, f.body)
	case kindPong:
		s.pong(f)
		return nil, nil, nil
	case kindData, kindCancel:
	default:
		return nil, nil, fmt.Errorf("%w: frame of kind %d from a client", ErrProtocol, f.kind)
	}
	over, err = s.ofCall(f)
	return nil, over, err
}

// ofCall takes a frame of a call that has begun. It returns the call if the client
// has given it up.
func (s *Server) ofCall(f *frame) (over *Incoming, err error) {
	if f.id > s.last || f.id == 0 {
		return nil, fmt.Errorf("%w: call %d was not begun", ErrProtocol, f.id)
	}
	if s.closing && f.id > s.served {
		return nil, nil // it was told to go
	}
	if skip := s.skipped[f.id]; skip != nil {
		if f.kind == kindData {
			err = s.more(skip, f)
		}
		if f.kind == kindCancel || skip.whole() {
			delete(s.skipped, f.id)
		}
		if f.kind == kindData {
			return nil, err
		}
	}
	k := s.open[f.id]
	switch {
	case f.kind == kindCancel:
		if f.num == noMore || k == nil || k.why != nil {
			return nil, nil // its reply is on the way
		}
		s.cancel(k, f.num, errCanceled)
		return k, nil
	case k == nil || k.Flow != nil || k.in.whole() || k.why != nil:
		return nil, fmt.Errorf("%w: data of call %d, which waits for none", ErrProtocol, f.id)
	}
	if err := s.more(&k.in, f); err != nil {
		if !isOfCall(err) {
			return nil, err
		}
		s.spare(k, err)
	} else if k.in.whole() {
		s.wake(k, nil)
	}
	return nil, nil
}

var errReplied = errors.New("the reply has been sent")

var errCanceled = errors.New("the caller has given the call up")

func (s *Server) request(f *frame, buf []byte) (*Incoming, error) {
	keep := false
	defer func() {
		if !keep {
			account.FreeBuffer(buf)
		}
	}()
	if f.num > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a request of %d bytes", ErrProtocol, f.num)
	}
	in, err := s.newCall(f)
	if in == nil || err != nil {
		return nil, err
	}
	if len(s.open) >= s.lim.Calls {
		in.in.total, in.in.got = int(f.num), f.size
		return nil, s.refuseUnseen(in, refusedForNow, "too many calls at once")
	}
	keep = true
	if err := s.start(&in.in, f, buf); err != nil {
		return nil, s.refuseUnseen(in, refusedForMemory, err.Error())
	}
	if f.num > uint64(s.lim.Message) {
		s.spare(in, &TooLargeError{f.num, uint64(s.lim.Message), true})
	}
	in.first = f.body
	s.open[f.id] = in
	return in, nil
}

// newCall makes the call that a frame begins, or none if the session takes no more.
func (s *Server) newCall(f *frame) (*Incoming, error) {
	if f.id <= s.last {
		return nil, fmt.Errorf("%w: call %d after call %d", ErrProtocol, f.id, s.last)
	}
	s.last = f.id
	if s.closing {
		return nil, nil // it is told by the go-away that this was not looked at
	}
	most := max(s.lim.Calls, initialCalls) // a client may not have read the settings
	if len(s.open) >= most || len(s.skipped) >= most {
		return nil, fmt.Errorf("%w: more than %d calls at once", ErrProtocol, most)
	}
	in := s.handler.New()
	in.s, in.id = s, f.id
	return in, nil
}

func (s *Server) refuseUnseen(in *Incoming, code uint64, text string) error {
	s.dropOrSkip(in)
	return s.answer(kindRefuse, []uint64{in.id, code}, cut(text))
}
