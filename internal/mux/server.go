package mux

import (
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// Server is the side of a session that is called. Its methods are safe for
// concurrent use.
type Server struct {
	conn
	handler Handler
	last    uint64               // the last request's ID
	open    map[uint64]*Incoming // from its request to the end of its reply
	skipped map[uint64]*inbound  // requests that are over before all of them has come
	served  uint64               // the last ID before the session was closing
	window  int                  // the first of a call's arguments
	turns   chan bool            // true for a parked goroutine that is to read on
	parked  int
	linger  *time.Timer // runs while the client is to close
}

// Handler is who serves the calls of a session.
type Handler struct {
	// New returns a new Incoming, which may be a part of the handler's own call.
	New func() *Incoming
	// Serve is called for every request, in a goroutine of its own, when its first
	// piece has come.
	Serve func(*Incoming)
	// Over is called once for each of them, when the call is over for the client or
	// else when Serve has returned: with the session locked, so it must neither wait
	// nor call it.
	Over func(*Incoming)
	// Ended is as by NewClient.
	Ended func(error)
}

// NewServer begins a session.
func NewServer(st Stream, mem account.Memory, lim Limits, h Handler) *Server {
	s := &Server{
		handler: h, turns: make(chan bool, maxParked),
		open: make(map[uint64]*Incoming), skipped: make(map[uint64]*inbound),
	}
	s.init(st, mem, lim, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room(64)
	s.window = min(max(mostWindows/lim.Calls, leastWindow), 16<<10)
	s.out = appendSettings(s.out, settingCalls, uint64(lim.Calls), settingMessage, uint64(lim.Message), settingWindow, uint64(s.window))
	s.queued = uint64(len(s.out))
	s.kick(false, false)
	go s.loop()
	return s
}

// loop reads until the session ends. The goroutine that has read a request
// serves it, and another reads on: the request does not wait for a goroutine
// to wake up.
func (s *Server) loop() {
	for {
		f, buf, err := s.next()
		var in, over *Incoming
		s.mu.Lock()
		s.arrived(&f)
		if err == nil && s.err == nil {
			in, over, err = s.handle(&f, buf)
		}
		s.account.Release(f.held)
		if err == io.EOF && s.calls() == 0 {
			err = ErrIdle // the client has closed it
		}
		if err != nil {
			s.end(err)
		}
		stop := s.err != nil
		s.mu.Unlock()
		if over != nil {
			over.tell()
		}
		if stop {
			return
		}
		if in != nil {
			s.handOver()
			s.run(in)
			if !s.park() {
				return
			}
		}
	}
}

// maxParked is how many goroutines that have served a request wait to read the
// next: their stacks have grown to what a method needs.
const maxParked = 64

// handOver makes another goroutine read on.
func (s *Server) handOver() {
	s.mu.Lock()
	parked := s.parked > 0
	if parked {
		s.parked--
	}
	s.mu.Unlock()
	if parked {
		s.turns <- true
	} else {
		go s.loop()
	}
}

// park waits to be needed, and reports whether that is so.
func (s *Server) park() bool {
	s.mu.Lock()
	if s.err != nil || s.parked == maxParked {
		s.mu.Unlock()
		return false
	}
	s.parked++
	s.mu.Unlock()
	return <-s.turns
}

// unpark ends all parked goroutines but so many.
func (s *Server) unpark(but int) {
	for ; s.parked > but; s.parked-- {
		s.turns <- false
	}
}

// run serves a request.
func (s *Server) run(in *Incoming) {
	defer func() { // the method may end its goroutine
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil && (!in.replied || in.Flow != nil && s.open[in.id] == in) {
			s.conclude(in, kindAbort, []uint64{in.id}, nil)
		}
		s.isOver(in)
		s.dropOrSkip(in)
		if in.Flow != nil {
			in.Flow.close()
		}
		s.closeIfDone()
	}()
	s.handler.Serve(in)
}

// close says that the call is over for the client.
func (s *Server) close(in *Incoming) {
	in.replied = true
	delete(s.open, in.id)
	s.isOver(in)
}

func (s *Server) isOver(in *Incoming) {
	if !in.over {
		in.over = true
		s.handler.Over(in)
	}
}

// dropOrSkip gives the request's memory back, and passes over what is still to
// come of it.
func (s *Server) dropOrSkip(in *Incoming) {
	s.drop(&in.in)
	if !in.in.whole() && s.err == nil && in.why == nil {
		s.passOver(in)
	}
}

func (s *Server) passOver(in *Incoming) {
	if !in.passed {
		in.passed = true
		s.skipped[in.id] = &in.in
	}
}

// spare takes no more of a request than has come.
func (s *Server) spare(in *Incoming, reason error) {
	in.in.skip = true
	delete(s.partial, &in.in)
	s.wake(in, reason)
}

// wake tells who waits for all of a request.
func (s *Server) wake(in *Incoming, failure error) {
	if in.failure == nil {
		in.failure = failure
	}
	if in.arrived != nil {
		close(in.arrived)
		in.arrived = nil
	}
}

// cancel ends a call for the client.
func (s *Server) cancel(in *Incoming, code uint64, why error) {
	in.why, in.code = why, code
	s.wake(in, why)
	if in.Flow != nil {
		in.Flow.stop(why)
	}
	if in.replied { // a large reply, or the end of a stream, is under way
		if in.reply != nil {
			s.forget(in.reply)
		}
		s.conclude(in, kindAbort, []uint64{in.id}, nil)
	}
}

// conclude ends a call by a frame that does not wait for the client. One that
// makes calls and reads nothing is not to have memory for all their ends; an
// honest one waits for them, and has no more calls than it may.
func (s *Server) conclude(in *Incoming, k kind, numbers []uint64, body []byte) {
	if s.backlogged() {
		s.end(errUnread)
		return
	}
	s.add(k, numbers, body)
	s.close(in)
	s.kick(false, false)
}

func (s *Server) receiving(id uint64) *inbound {
	if k := s.open[id]; k != nil && k.why == nil {
		return &k.in
	}
	return nil
}

func (s *Server) failed(in *inbound, err error) {
	for _, k := range s.open {
		if &k.in == in {
			s.spare(k, err)
			return
		}
	}
}

func (s *Server) begin(*message) {}

func (s *Server) written(m *message) { s.close(m.in) }

func (s *Server) calls() int { return len(s.open) }

func (s *Server) ticked() {
	for _, k := range s.open {
		if k.Flow != nil {
			k.Flow.ticked()
		}
	}
	if len(s.open) == 0 {
		s.unpark(1)
		if s.closing { // though there may always be a pong to send
			s.done()
		}
	}
}

func (s *Server) ending(err error) func() {
	if s.linger != nil {
		s.linger.Stop()
	}
	s.unpark(0)
	all := s.open
	s.open = make(map[uint64]*Incoming)
	for _, in := range all {
		if in.why == nil {
			in.why = fmt.Errorf("the session ended: %w", err)
		}
		s.wake(in, in.why)
		if in.Flow != nil {
			in.Flow.stop(in.why)
		}
	}
	return func() {
		for _, in := range all {
			in.tell()
		}
		s.handler.Ended(err)
	}
}

func (s *Server) idled() {
	s.goAway(0, "the session was idle")
}

// GoAway takes no more calls: those that the server has not seen are the
// client's to send elsewhere. The session ends when those under way have.
func (s *Server) GoAway(code uint64, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goAway(code, text)
}

func (s *Server) goAway(code uint64, text string) {
	if s.err != nil || s.closing {
		return
	}
	s.closing, s.served = true, s.last
	s.add(kindGoAway, []uint64{s.last, code}, cut(text))
	s.kick(false, false)
}

// lingerTime is how long a server waits for the client to close the session. By
// doing that the client says that it has all replies.
const lingerTime = 5 * time.Second

func (s *Server) done() {
	if s.linger == nil {
		s.linger = time.AfterFunc(lingerTime, func() { s.Close(ErrIdle) })
	}
}

// Close ends the session, and with it its calls.
func (s *Server) Close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err)
}
