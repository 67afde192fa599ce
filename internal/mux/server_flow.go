package mux

import (
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// opened takes the frame that opens a streaming call, and its buffer.
func (s *Server) opened(f *frame, buf []byte) (*Incoming, error) {
	keep := false
	defer func() {
		if !keep {
			account.FreeBuffer(buf)
		}
	}()
	if f.num < leastWindow || f.num > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a first window of %d bytes", ErrProtocol, f.num)
	}
	in, err := s.newCall(f)
	if in == nil || err != nil {
		return nil, err
	}
	if len(s.open) >= s.lim.Calls {
		return nil, s.refuseUnseen(in, refusedForNow, "too many calls at once")
	}
	err = f.lost
	if err == nil {
		err = s.takeWindow(s.window)
	}
	if err == nil {
		if err = s.account.Grow(cap(buf)-f.held, cap(buf)); err != nil {
			s.windows -= s.window
			s.account.Release(s.window)
		}
	}
	if err != nil {
		return nil, s.refuseUnseen(in, refusedForMemory, err.Error())
	}
	in.Flow = new(Flow)
	in.Flow.init(&s.conn, s.window, int(f.num))
	in.Flow.id, in.Flow.turn.id, in.Flow.turn.in, in.Flow.begun, in.Flow.seen = f.id, f.id, in, true, true
	in.Flow.pin(f.body, buf)
	in.Flow.free = f.size
	f.held, keep = 0, true
	in.first = f.body
	s.open[f.id] = in
	return in, nil
}

func (s *Server) flowOf(id uint64) *Flow {
	if k := s.open[id]; k != nil {
		return k.Flow
	}
	return nil
}

// ofFlow takes another frame of a streaming call, and its buffer. What comes of one
// that is over is passed over: the client does not know yet.
func (s *Server) ofFlow(f *frame, buf []byte) error {
	kept := false
	defer func() {
		if !kept {
			account.FreeBuffer(buf)
		}
	}()
	if f.id > s.last || f.id == 0 {
		return fmt.Errorf("%w: call %d was not begun", ErrProtocol, f.id)
	}
	k := s.open[f.id]
	switch {
	case k == nil || k.why != nil:
		return nil
	case k.Flow == nil:
		return fmt.Errorf("%w: frame of kind %d of call %d, which is unary", ErrProtocol, f.kind, f.id)
	case f.kind == kindGrant:
		return k.Flow.mayGo(f.num)
	case f.kind == kindBlocked:
		return k.Flow.isBlocked()
	}
	kept, err := k.Flow.received(f, buf)
	return err
}
