package mux

import (
	"context"
	"errors"
	"fmt"
	"math"

	pool "github.com/libp2p/go-buffer-pool"
)

// Server is the side of a session that is called. Its methods are safe for
// concurrent use.
type Server struct {
	conn
	serve   func(*Incoming)
	ended   func(error)
	last    uint64               // the last request's ID
	open    map[uint64]*Incoming // from its request to the end of its reply
	skipped map[uint64]*inbound  // requests that are over before all of them has come
	served  uint64               // the last ID before the session was closing
	turns   chan bool            // true for a parked goroutine that is to read on
	parked  int
}

// Incoming is a call at the server.
type Incoming struct {
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
	passed   bool // what is still to come of the request is passed over
	reply    message
}

// NewServer begins a session. serve is called for every request, in a goroutine
// of its own, when its first piece has come; ended as by NewClient.
func NewServer(st Stream, mem Memory, lim Limits, serve func(*Incoming), ended func(error)) *Server {
	s := &Server{serve: serve, ended: ended, turns: make(chan bool, maxParked), open: make(map[uint64]*Incoming), skipped: make(map[uint64]*inbound)}
	s.init(st, mem, lim, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room(64)
	s.out = appendSettings(s.out, settingCalls, uint64(lim.Calls), settingMessage, uint64(lim.Message))
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
		if err == nil && s.err == nil {
			in, over, err = s.handle(&f, buf)
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
		if s.err == nil && !in.replied {
			s.add(kindAbort, []uint64{in.id})
			s.forget(in)
			s.kick(false, false)
		}
		s.dropOrSkip(in)
		s.closeIfDone()
	}()
	s.serve(in)
}

// forget says that the call is over.
func (s *Server) forget(in *Incoming) {
	in.replied = true
	delete(s.open, in.id)
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

// handle takes a frame, and its buffer. It returns the request that is to be
// served, or the call that the client has given up.
func (s *Server) handle(f *frame, buf []byte) (in, over *Incoming, err error) {
	if !s.settled && f.kind != kindSettings {
		pool.Put(buf)
		return nil, nil, fmt.Errorf("%w: it begins with a frame of kind %d, not with settings", ErrProtocol, f.kind)
	}
	if f.kind == kindRequest {
		in, err = s.request(f, buf)
		return in, nil, err
	}
	defer pool.Put(buf)
	if f.unsure {
		return nil, nil, nil
	}
	switch f.kind {
	case kindSettings:
		s.settled = true
		return nil, nil, f.settings(func(uint64, uint64) {})
	case kindPing:
		s.add(kindPong, nil, f.body)
		s.kick(false, false)
		return nil, nil, nil
	case kindPong:
		return nil, nil, nil
	case kindData, kindCancel:
	default:
		return nil, nil, fmt.Errorf("%w: frame of kind %d from a client", ErrProtocol, f.kind)
	}
	if f.id > s.last || f.id == 0 {
		return nil, nil, fmt.Errorf("%w: call %d was not begun", ErrProtocol, f.id)
	}
	if s.closing && f.id > s.served {
		return nil, nil, nil // it was told to go
	}
	if skip := s.skipped[f.id]; skip != nil {
		if f.kind == kindData {
			err = s.more(skip, f)
		}
		if f.kind == kindCancel || skip.whole() {
			delete(s.skipped, f.id)
		}
		if f.kind == kindData {
			return nil, nil, err
		}
	}
	k := s.open[f.id]
	switch {
	case f.kind == kindCancel:
		if f.num == noMore || k == nil || k.why != nil {
			return nil, nil, nil // its reply is on the way
		}
		s.cancel(k, f.num, errCanceled)
		return nil, k, nil
	case k == nil || k.in.whole() || k.why != nil:
		return nil, nil, fmt.Errorf("%w: data of call %d, which waits for none", ErrProtocol, f.id)
	}
	if err := s.more(&k.in, f); err != nil {
		if !isOfCall(err) {
			return nil, nil, err
		}
		s.failed(&k.in, err)
	} else if k.in.whole() {
		s.wake(k, nil)
	}
	return nil, nil, nil
}

var errReplied = errors.New("the reply has been sent")

var errCanceled = errors.New("the caller has given the call up")

// isOfCall reports whether a message's error leaves the session as it is.
func isOfCall(err error) bool {
	return errors.Is(err, ErrMemory) || errors.As(err, new(*TooLargeError))
}

func (s *Server) request(f *frame, buf []byte) (*Incoming, error) {
	keep := false
	defer func() {
		if !keep {
			pool.Put(buf)
		}
	}()
	if f.id <= s.last {
		return nil, fmt.Errorf("%w: call %d after call %d", ErrProtocol, f.id, s.last)
	}
	if f.num > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a request of %d bytes", ErrProtocol, f.num)
	}
	s.last = f.id
	if s.closing {
		return nil, nil // it is told by the go-away that this was not looked at
	}
	most := max(s.lim.Calls, initialCalls) // a client may not have read the settings
	if len(s.open) >= most || len(s.skipped) >= most {
		return nil, fmt.Errorf("%w: more than %d calls at once", ErrProtocol, most)
	}
	in := &Incoming{s: s, id: f.id}
	if len(s.open) >= s.lim.Calls {
		s.refuseUnseen(in, f, refusedForNow, "too many calls at once")
		return nil, nil
	}
	keep = true
	if err := s.start(&in.in, f, buf); err != nil {
		s.refuseUnseen(in, f, refusedForMemory, err.Error())
		return nil, nil
	}
	if f.num > uint64(s.lim.Message) {
		s.spare(in, &TooLargeError{f.num, uint64(s.lim.Message)})
	}
	in.first = f.body
	s.open[f.id] = in
	return in, nil
}

func (s *Server) refuseUnseen(in *Incoming, f *frame, code uint64, text string) {
	in.in.total, in.in.got = int(f.num), len(f.body)
	s.out = appendText(s.outFor(maxText), kindRefuse, f.id, code, text)
	s.kick(false, false)
	s.dropOrSkip(in)
}

// spare takes no more of a request than has come.
func (s *Server) spare(in *Incoming, reason error) {
	in.in.skip = true
	delete(s.partial, &in.in)
	s.wake(in, reason)
}

func (s *Server) outFor(n int) []byte {
	s.room(n + 64)
	return s.out
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
	if in.replied { // a large reply is under way
		s.queue.remove(&in.reply)
		in.reply.forget()
		s.add(kindAbort, []uint64{in.id})
		s.forget(in)
		s.kick(false, false)
	}
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

func (s *Server) failed(in *inbound, err error) {
	for _, k := range s.open {
		if &k.in == in {
			s.spare(k, err)
			return
		}
	}
}

func (s *Server) begin(*message) {}

func (s *Server) written(m *message) { s.forget(m.in) }

func (s *Server) calls() int { return len(s.open) }

func (s *Server) ticked() {
	if len(s.open) == 0 {
		s.unpark(1)
	}
}

func (s *Server) ending(err error) func() {
	s.unpark(0)
	all := s.open
	s.open = make(map[uint64]*Incoming)
	for _, in := range all {
		if in.why == nil {
			in.why = fmt.Errorf("the session ended: %w", err)
		}
		s.wake(in, in.why)
	}
	return func() {
		for _, in := range all {
			in.tell()
		}
		s.ended(err)
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
	s.out = appendText(s.outFor(maxText), kindGoAway, s.last, code, text)
	s.kick(false, false)
}

// Close ends the session, and with it its calls.
func (s *Server) Close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err)
}

// First is the beginning of the request: at least MaxFirst bytes of it, or all.
// It is valid until Release.
func (in *Incoming) First() []byte { return in.first }

// Whole waits for all of the request, or until ctx ends. What it returns is
// valid until Release.
func (in *Incoming) Whole(ctx context.Context) ([]byte, error) {
	s := in.s
	s.mu.Lock()
	defer s.mu.Unlock()
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

// Refuse answers that the request was not looked at.
func (in *Incoming) Refuse(code uint64, text string) {
	s := in.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || in.replied || in.why != nil {
		return
	}
	s.refuse(in, code, text)
}

func (s *Server) refuse(in *Incoming, code uint64, text string) {
	s.out = appendText(s.outFor(maxText), kindRefuse, in.id, code, text)
	s.forget(in)
	s.kick(true, false)
}

// Reply sends the reply, of two parts in a row, and returns when neither is
// needed any more.
func (in *Incoming) Reply(head, body []byte) error {
	s := in.s
	s.mu.Lock()
	switch {
	case s.err != nil:
		s.mu.Unlock()
		return s.err
	case in.why != nil:
		s.mu.Unlock()
		return in.why
	}
	if errors.Is(in.failure, ErrMemory) { // the client may ask again, when there is more
		s.refuse(in, refusedForMemory, in.failure.Error())
		s.mu.Unlock()
		return nil
	}
	if !in.in.whole() { // the rest is passed over
		s.spare(in, errReplied)
		s.passOver(in)
	}
	m := &in.reply
	m.in, m.id = in, in.id
	m.set(kindReply, head, body)
	if m.length <= smallMessage && len(s.out) <= batchSize {
		s.room(m.length + 32)
		before := len(s.out)
		s.out = m.appendPiece(s.out)
		s.queued += uint64(len(s.out) - before)
		m.forget()
		s.forget(in)
		s.kick(true, false)
		s.mu.Unlock()
		return nil
	}
	in.replied = true
	sent := make(chan struct{})
	m.sent = sent
	s.queue.push(m)
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
