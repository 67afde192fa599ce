package mux

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// In a bubble of synctest time passes when all wait, and at the end no goroutine
// may be left.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errReset = errors.New("stream reset")

// half is one direction of a pipe, which holds max bytes.
type half struct {
	mu       sync.Mutex
	cond     sync.Cond
	buf      []byte
	max      int
	closed   bool // by the writer
	deaf     bool // the reader takes no more
	reset    bool
	deadline time.Time
	moved    int // so many bytes were written
}

func newHalf(size int) *half {
	h := &half{max: size}
	h.cond.L = &h.mu
	return h
}

func (h *half) update(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.cond.Broadcast()
}

func (h *half) Read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.reset, h.deaf:
			return 0, errReset
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.closed:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

func (h *half) Write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.deaf { // and all else is lost
			h.moved += len(b)
			return n + len(b), nil
		}
		room := min(h.max-len(h.buf), len(b))
		if h.reset || h.closed {
			return n, errReset
		}
		h.buf = append(h.buf, b[:room]...)
		h.moved += room
		n, b = n+room, b[room:]
		h.cond.Broadcast()
		if len(b) == 0 {
			return n, nil
		}
		if !h.deadline.IsZero() && !h.deadline.After(time.Now()) {
			return n, os.ErrDeadlineExceeded
		}
		h.cond.Wait()
	}
}

// stream is one end of a pipe, as libp2p's streams are.
type stream struct {
	in, out *half
	reads   func(n int) int // how many bytes a Read takes; nil for all
}

// newPipe returns both ends of a pipe that holds so many bytes each way.
func newPipe(size int) (a, b *stream) {
	x, y := newHalf(size), newHalf(size)
	return &stream{in: x, out: y}, &stream{in: y, out: x}
}

func (s *stream) Read(b []byte) (int, error) {
	if s.reads != nil {
		b = b[:min(len(b), s.reads(len(b)))]
	}
	return s.in.Read(b)
}

func (s *stream) Write(b []byte) (int, error) { return s.out.Write(b) }

func (s *stream) Close() error {
	s.out.update(func() { s.out.closed = true })
	s.in.update(func() { s.in.deaf = true })
	return nil
}

func (s *stream) Reset() error {
	for _, h := range []*half{s.in, s.out} {
		h.update(func() { h.reset = true })
	}
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.out.update(func() { s.out.deadline = t })
	return nil
}

// lazy is a stream whose protocol is negotiated with the first Write, as
// libp2p's are: when that fails, nobody knows how much was written, and all later
// ones fail.
type lazy struct {
	*stream
	once sync.Once
	err  error
}

func (l *lazy) Write(b []byte) (n int, err error) {
	first := false
	l.once.Do(func() {
		first = true
		_, l.err = l.stream.Write(b)
	})
	switch {
	case l.err != nil:
		return 0, l.err
	case first:
		return len(b), nil
	}
	return l.stream.Write(b)
}

// relay carries what is written to the one to the other, as change makes it:
// an error cuts both off.
func relay(from, to *stream, change func([]byte) error) {
	b := make([]byte, 1<<10)
	for {
		n, err := from.Read(b)
		if err == nil {
			err = change(b[:n])
		}
		if err == nil {
			_, err = to.Write(b[:n])
		}
		if err == io.EOF {
			to.out.update(func() { to.out.closed = true })
			return
		}
		if err != nil {
			_ = from.Reset()
			_ = to.Reset()
			return
		}
	}
}

// memory grants so many bytes.
type memory struct {
	max        int64
	used, most atomic.Int64
}

func (m *memory) ReserveMemory(n int, _ uint8) error {
	if n < 0 {
		panic("less than nothing")
	}
	used := m.used.Add(int64(n))
	if m.max > 0 && used > m.max {
		m.used.Add(int64(-n))
		return errors.New("no more than that")
	}
	for most := m.most.Load(); used > most && !m.most.CompareAndSwap(most, used); most = m.most.Load() {
	}
	return nil
}

func (m *memory) ReleaseMemory(n int) {
	if n < 0 || m.used.Add(int64(-n)) < 0 {
		panic("more given back than was taken")
	}
}

// testLimits are short where that takes no time.
func testLimits() Limits {
	return Limits{Calls: 64, Message: 1 << 20, Silence: 15 * time.Second, Progress: 30 * time.Second, Idle: 5 * time.Minute}
}

func nobody(error) uint64 { return canceled }

// fate is how a session ended.
type fate struct {
	times atomic.Int32
	err   error
	over  chan struct{}
}

func newFate() *fate { return &fate{over: make(chan struct{})} }

func (f *fate) ended(err error) {
	if f.times.Add(1) == 1 {
		f.err = err
		close(f.over)
	}
}

// testServer is a Server, and what is known of it.
type testServer struct {
	*Server
	mem            memory
	fate           *fate
	served, overed atomic.Int64
	running        sync.WaitGroup
}

func newTestServer(st Stream, lim Limits, serve func(*Incoming)) *testServer {
	s := &testServer{fate: newFate()}
	s.start(st, lim, serve)
	return s
}

func (s *testServer) start(st Stream, lim Limits, serve func(*Incoming)) {
	s.Server = NewServer(st, &s.mem, lim, Handler{
		New: func() *Incoming { return new(Incoming) },
		Serve: func(in *Incoming) {
			s.served.Add(1)
			s.running.Add(1)
			defer s.running.Done()
			serve(in)
		},
		Over:  func(*Incoming) { s.overed.Add(1) },
		Ended: s.fate.ended,
	})
}

// check checks that a session that is over has left nothing.
func (s *testServer) check(t testing.TB) {
	t.Helper()
	<-s.fate.over
	synctest.Wait() // all that are served have begun
	s.running.Wait()
	synctest.Wait()
	checkNothingLeft(t, &s.conn, &s.mem, s.fate)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.served.Load() != s.overed.Load() {
		t.Errorf("%d calls were served, and %d are over", s.served.Load(), s.overed.Load())
	}
}

// testClient is a Client, and what is known of it.
type testClient struct {
	*Client
	mem  memory
	fate *fate
}

func newTestClient(st Stream, lim Limits) *testClient {
	c := &testClient{fate: newFate()}
	c.Client = NewClient(st, &c.mem, lim, c.fate.ended)
	return c
}

func (c *testClient) check(t testing.TB) {
	t.Helper()
	<-c.fate.over
	synctest.Wait()
	checkNothingLeft(t, &c.conn, &c.mem, c.fate)
}

// checkNothingLeft is for when all goroutines have come to rest.
func checkNothingLeft(t testing.TB, c *conn, m *memory, f *fate) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.account.Used() != 0 || m.used.Load() != 0 {
		t.Errorf("%d bytes are in use, %d reserved are not given back", c.account.Used(), m.used.Load())
	}
	if n := f.times.Load(); n != 1 {
		t.Errorf("the session ended %d times", n)
	}
}

// roundTrip makes a call, and returns a copy of the reply.
func (c *testClient) roundTrip(ctx context.Context, request []byte) ([]byte, error) {
	r, err := c.Call(ctx, &Request{Body: request, Owned: len(request), Code: nobody})
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return append([]byte(nil), r.Bytes()...), nil
}

// echo replies with what it was sent.
func echo(in *Incoming) {
	b, _, err := in.Whole(context.Background(), false)
	if err != nil {
		_ = in.Reply(nil, []byte(err.Error()))
		return
	}
	_ = in.Reply(append([]byte(nil), b...), nil)
}

// newSession returns both sides of one.
func newSession(lim Limits, serve func(*Incoming)) (*testClient, *testServer) {
	a, b := newPipe(1 << 16)
	return newTestClient(a, lim), newTestServer(b, lim, serve)
}
