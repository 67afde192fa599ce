package call

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Back is the metadata that a method sends back, as it arrives at the caller. Its
// methods are safe for concurrent use, and may be called of nil, which keeps nothing.
type Back struct {
	mu              sync.Mutex
	header, trailer map[string]string
	known           event // the header, or that there is none
	begun           event // the method runs
	asks            bool  // somebody wants to know when
	tell            func(header map[string]string)
}

// event is something that happens once.
type event struct {
	happened bool
	wake     chan struct{} // closed then; nil while nobody waits
}

// happen reports whether it is the first time.
func (e *event) happen() bool {
	if e.happened {
		return false
	}
	e.happened = true
	if e.wake != nil {
		close(e.wake)
	}
	return true
}

func (e *event) wait() <-chan struct{} {
	if e.wake == nil {
		e.wake = make(chan struct{})
		if e.happened {
			close(e.wake)
		}
	}
	return e.wake
}

// Ask says that the caller wants to know when the method runs. tell, unless it is nil,
// is told then, once.
func (b *Back) Ask(tell func(header map[string]string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asks = true
	if tell != nil {
		b.tell = tell
	}
}

// Asks reports whether somebody has asked.
func (b *Back) Asks() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asks
}

// Begin says that the method runs.
func (b *Back) Begin() {
	if b == nil {
		return
	}
	b.mu.Lock()
	tell, header := b.tell, b.header
	first := b.begun.happen()
	b.mu.Unlock()
	if first && tell != nil {
		tell(maps.Clone(header))
	}
}

// PutHeader stores the header, if none is known: nil says that there is none. The
// method runs, or has run.
func (b *Back) PutHeader(md map[string]string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	if b.known.happen() {
		b.header = md
	}
	b.mu.Unlock()
	b.Begin()
}

// Over says that the call is over: well, so that the method has run, or not. Nobody is
// told any more.
func (b *Back) Over(well bool) {
	if b == nil {
		return
	}
	if well {
		b.PutHeader(nil)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell = nil
}

// PutTrailer stores the trailer.
func (b *Back) PutTrailer(md map[string]string) {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.trailer = md
	}
}

// Take stores what a method of this process has set, which has returned.
func (b *Back) Take(s *Setting) {
	header, trailer := s.Finish()
	if header != nil { // or the call may have failed before there was one
		b.PutHeader(header)
	}
	b.PutTrailer(trailer)
}

// Header returns a copy of the header, nil if there is none yet.
func (b *Back) Header() map[string]string {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.header)
}

// Trailer returns a copy of the trailer, nil if there is none yet.
func (b *Back) Trailer() map[string]string {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.trailer)
}

// Known returns a channel that is closed when the header is known.
func (b *Back) Known() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known.wait()
}

// Begun returns a channel that is closed when the method runs.
func (b *Back) Begun() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun.wait()
}

// Reset forgets everything, for the next call.
func (b *Back) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.header, b.trailer, b.known, b.begun, b.asks, b.tell = nil, nil, event{}, event{}, false, nil
}

// Setting is the metadata that a method sends back, until it has gone. The zero
// Setting is that of a call in which none was set. Its methods are safe for
// concurrent use.
type Setting struct {
	mu              sync.Mutex
	header, trailer map[string]string
	send            SendHeader  // of a streaming method that runs
	begun           *time.Timer // sends that it does
	sent            bool        // the header, or it is too late for one
	over            bool        // the call has its answer
}

// Unset is that of a call that is over, in which nothing was set.
var Unset = &Setting{sent: true, over: true}

// SendHeader sends the header of a streaming call, now or with the first reply. No
// header is, with the first reply, that there is none, and now that the method runs. No
// reply is sent meanwhile.
type SendHeader func(md map[string]string, now bool) error

// SetHeader adds md to the header, of which there may be most bytes. That of a
// streaming method which runs is sent.
func (s *Setting) SetHeader(md map[string]string, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return tooLate()
	case s.sent:
		return Fail(OfServer, codes.FailedPrecondition, "the header has been sent: it goes before the first reply, and a streaming method sets it once")
	}
	if err := add(&s.header, md, most, "header"); err != nil || s.send == nil || len(s.header) == 0 {
		return err
	}
	s.tells()
	if err := s.send(s.header, true); err != nil {
		return Fail(OfServer, codes.Canceled, "the header cannot be sent: %w", err)
	}
	return nil
}

// SetTrailer adds md to the trailer, of which there may be most bytes.
func (s *Setting) SetTrailer(md map[string]string, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return tooLate()
	}
	return add(&s.trailer, md, most, "trailer")
}

func tooLate() *Fault {
	return Fail(OfServer, codes.FailedPrecondition, "the call is over, and takes no metadata any more")
}

func add(to *map[string]string, md map[string]string, most int, what string) error {
	sum := maps.Clone(*to)
	if sum == nil {
		sum = make(map[string]string, len(md))
	}
	maps.Copy(sum, md)
	if size := msgpack.StringMapSize(sum); size > most {
		return Fail(OfServer, codes.ResourceExhausted, "%s", fmt.Sprintf("a %s of %d bytes, and %d may be", what, size, most)).
			LimitedBy("Limits.MetadataSize", "server")
	}
	if len(sum) > 0 {
		*to = sum
	}
	return nil
}

// HeaderTime is how long a streaming method has run when a caller who asks is told so
// without the header, which most methods set first.
const HeaderTime = 50 * time.Millisecond

// Begin says that a streaming method runs, and how its header is sent. With asked the
// caller is to be told.
func (s *Setting) Begin(send SendHeader, asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send = send
	if asked && s.begun == nil {
		s.begun = time.AfterFunc(HeaderTime, s.announce)
	}
}

// announce tells the caller that the method runs, of which it has heard nothing.
func (s *Setting) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sent {
		_ = s.send(nil, true)
	}
}

// tells says that the caller hears of the method otherwise. The mutex is held.
func (s *Setting) tells() {
	s.sent = true
	if s.begun != nil {
		s.begun.Stop()
	}
}

// Release sends the header, unless that is done, for the first reply comes, or the
// end of all.
func (s *Setting) Release(reply bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	nothing := s.sent || !reply && len(s.header) == 0
	s.tells()
	if nothing {
		return nil
	}
	return s.send(s.header, false)
}

// Finish returns what is still to be sent. Nothing can be set any more.
func (s *Setting) Finish() (header, trailer map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sent {
		header = s.header
	}
	s.tells()
	s.over = true
	return header, s.trailer
}
