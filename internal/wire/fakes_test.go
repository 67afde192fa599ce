package wire_test

import (
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errBroken  = errors.New("broken")
	errRefused = errors.New("refused")
)

// memory counts what is reserved, and refuses what would exceed most.
type memory struct {
	mu    sync.Mutex
	now   int
	peak  int
	calls int
	most  int             // 0 is without end
	check func(total int) // sees each new total
	wrong bool            // more was released than there was, or nothing asked for
}

func (m *memory) ReserveMemory(n int, prio uint8) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wrong = m.wrong || n <= 0
	if m.most > 0 && m.now+n > m.most {
		return errRefused
	}
	m.calls++
	m.now += n
	m.peak = max(m.peak, m.now)
	if m.check != nil {
		m.check(m.now)
	}
	return nil
}

func (m *memory) ReleaseMemory(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now -= n
	m.wrong = m.wrong || n <= 0 || m.now < 0
}

// held is what is still reserved; never 0 if the account went wrong.
func (m *memory) held() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wrong {
		return -1
	}
	return m.now
}

func (m *memory) highest() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak
}

// chunks gives b in reads of at most size bytes.
type chunks struct {
	b     []byte
	size  int
	zeros bool  // a read of nothing before each
	with  error // comes with the last byte
	end   error // comes after it, io.EOF if nil
	zero  bool
	reads int
	given int
}

func (c *chunks) Read(p []byte) (int, error) {
	c.reads++
	if c.zeros {
		if c.zero = !c.zero; c.zero {
			return 0, nil
		}
	}
	if len(c.b) == 0 {
		if c.end != nil {
			return 0, c.end
		}
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.b)
	c.b = c.b[n:]
	c.given += n
	if len(c.b) == 0 {
		return n, c.with
	}
	return n, nil
}

// noDeadlines are for streams that are never watched.
type noDeadlines struct{}

func (noDeadlines) SetReadDeadline(time.Time) error  { panic("watched") }
func (noDeadlines) SetWriteDeadline(time.Time) error { panic("watched") }

// readOnly is a stream without a writing side.
type readOnly struct{ io.Reader }

func (readOnly) Write([]byte) (int, error)        { panic("written to") }
func (readOnly) SetReadDeadline(time.Time) error  { panic("watched") }
func (readOnly) SetWriteDeadline(time.Time) error { panic("watched") }

// slow is a stream whose reads and writes take what the test gives, and end
// when their deadline has passed. It is for use in a synctest bubble.
type slow struct {
	in, out       chan []byte
	mu            sync.Mutex
	reads, writes []time.Time // the deadlines set
	readEnd       chan struct{}
	writeEnd      chan struct{}
}

func newSlow() *slow {
	return &slow{in: make(chan []byte), out: make(chan []byte), readEnd: make(chan struct{}), writeEnd: make(chan struct{})}
}

func (s *slow) Read(p []byte) (int, error) {
	select {
	case b, ok := <-s.in:
		if !ok {
			return 0, io.EOF
		}
		return copy(p, b), nil
	case <-s.readEnd:
		return 0, os.ErrDeadlineExceeded
	}
}

func (s *slow) Write(p []byte) (int, error) {
	select {
	case s.out <- append([]byte(nil), p...):
		return len(p), nil
	case <-s.writeEnd:
		return 0, os.ErrDeadlineExceeded
	}
}

func (s *slow) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads = append(s.reads, t); len(s.reads) == 1 && t.Before(time.Now()) {
		close(s.readEnd)
	}
	return nil
}

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes = append(s.writes, t); len(s.writes) == 1 && t.Before(time.Now()) {
		close(s.writeEnd)
	}
	return nil
}

// deadlines returns how many of each kind were set.
func (s *slow) deadlines() (reads, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.reads), len(s.writes)
}
