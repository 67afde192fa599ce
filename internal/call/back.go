package call

import (
	"fmt"
	"maps"
	"sync"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Back is the metadata that a method sends back, as it arrives at the caller. Its
// methods are safe for concurrent use, and may be called of nil, which keeps nothing.
type Back struct {
	mu              sync.Mutex
	header, trailer map[string]string
	known           bool          // the header, or that there is none
	wake            chan struct{} // closed when the header is known; nil while nobody waits
}

// PutHeader stores the header, if none is known: nil says that there is none.
func (b *Back) PutHeader(md map[string]string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known {
		return
	}
	b.header, b.known = md, true
	if b.wake != nil {
		close(b.wake)
	}
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
	if b.wake == nil {
		b.wake = make(chan struct{})
		if b.known {
			close(b.wake)
		}
	}
	return b.wake
}

// Reset forgets everything, for the next call.
func (b *Back) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.header, b.trailer, b.known, b.wake = nil, nil, false, nil
}

// Setting is the metadata that a method sends back, until it has gone. The zero
// Setting is that of a call in which none was set. Its methods are safe for
// concurrent use.
type Setting struct {
	mu              sync.Mutex
	header, trailer map[string]string
	send            SendHeader // of a streaming method that runs
	sent            bool       // the header, or it is too late for one
	over            bool       // the call has its answer
}

// Unset is that of a call that is over, in which nothing was set.
var Unset = &Setting{sent: true, over: true}

// SendHeader sends the header of a streaming call, or says by nil that there is none:
// now, or with the first reply. No reply is sent meanwhile.
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
	s.sent = true
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

// Begin says that a streaming method runs, and how its header is sent.
func (s *Setting) Begin(send SendHeader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send = send
}

// Release sends the header, unless that is done, for the first reply comes, or the
// end of all.
func (s *Setting) Release(reply bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent || !reply && len(s.header) == 0 {
		s.sent = true
		return nil
	}
	s.sent = true
	return s.send(s.header, false)
}

// Finish returns what is still to be sent. Nothing can be set any more.
func (s *Setting) Finish() (header, trailer map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sent {
		header = s.header
	}
	s.sent, s.over = true, true
	return header, s.trailer
}
