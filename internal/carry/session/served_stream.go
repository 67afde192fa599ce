package session

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/stream"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// serverStream is a server's side of a streaming call. That the caller has gone is a
// frame, of which the method's context hears whether anybody reads or not.
type serverStream struct {
	*serverCall
	wire.Conn
	from     stream.Source
	to       stream.Sink
	canceled atomic.Bool
	direct   bool // replies are put by anybody, with the two below

	giving   sync.Mutex // whose turn it is to give what was put
	putting  sync.Mutex // W
	flushing bool       // somebody is about to
}

// servedFlow is a flow, with errors as a [wire.Conn] has them.
type servedFlow struct {
	*mux.Flow
}

// Give is that of [wire.Flow].
func (f servedFlow) Give(b []byte, pool, last bool) error {
	return goneError(sendFault(f.Flow.Give(b, pool, last)))
}

func (f servedFlow) Read(b []byte) (int, error) {
	n, err := f.Flow.Read(b)
	return n, goneError(err)
}

// goneError is the error of what is read or sent when the caller may have gone.
func goneError(err error) error {
	switch {
	case err == nil, err == io.EOF, errors.Is(err, wire.ErrStalled), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, account.ErrMemory):
		return err
	case errors.Is(err, mux.ErrStopped):
		return flow.ErrStopped
	}
	return errors.Join(call.ErrCallerGone, call.Masked(err))
}

// newServerStream returns the streaming side of a call, whose header has been read.
func (c *serverCall) newServerStream() *serverStream {
	s := &serverStream{serverCall: c}
	on := c.session
	s.InitFlow(servedFlow{c.in.Flow}, on.scope, on.server.limits.ProgressTimeout)
	s.Share(on.share)
	return s
}

// Tally is that of [call.Served].
func (s *serverStream) Tally(t *tally.Call) {
	t.With(s.session.tally)
	t.On(&s.Conn)
}

// Cancel is that of [call.Served].
func (s *serverStream) Cancel(cause error) {
	s.canceled.Store(true)
	s.serverCall.Cancel(cause)
	s.StopReading()
}

// StopReading is that of [stream.Source].
func (s *serverStream) StopReading() {
	s.StopWaiting()
	s.in.Flow.StopReading()
}

// Expect is that of [call.Stream].
func (*serverStream) Expect() {}

// Begin is that of [call.Stream].
func (*serverStream) Begin() {}

// Ends is that of [call.Stream].
func (s *serverStream) Ends(i *call.Items) (flow.Source, flow.Sink) {
	s.from, s.to = stream.NewServer(&s.Conn, i, true, s, &s.canceled)
	s.to.Prefix = stream.Bare
	return &s.from, s
}

// Patient is that of [call.Stream]: the context tells of the caller's going.
func (*serverStream) Patient(to flow.LateSink) flow.Sink { return to }

// Await is that of [call.Stream].
func (*serverStream) Await(ctx context.Context, a, b <-chan struct{}) {
	select {
	case <-a:
	case <-b:
	case <-ctx.Done():
	}
}

// Gone is that of [call.Stream]: there is nothing to wait for.
func (s *serverStream) Gone(<-chan struct{}) error {
	s.in.Flow.CloseRead()
	return nil
}

// StopWriting is that of [call.Stream].
func (s *serverStream) StopWriting() { s.in.Flow.StopWriting() }

// AwaitDeadline is that of [call.Stream].
func (s *serverStream) AwaitDeadline(ctx context.Context, _ error) {
	if codes.Code(s.in.GivenUp()) == codes.DeadlineExceeded {
		<-ctx.Done() // within call.Grace
	}
}

// Buffer is that of [call.Served]. Replies that wait in W come before it.
func (s *serverStream) Buffer() []byte { return account.NewBuffer(codec.FirstEncoding)[:0] }

// Send is that of [call.Served].
func (s *serverStream) Send(head, _ []byte) error {
	defer account.FreeBuffer(head)
	if !s.in.HasSlot { // or there would be no bound to how many wait for the peer to read
		return s.in.Decline(head)
	}
	return s.failed(s.add(head, true, true), "the reply")
}

// Header is that of [call.Stream].
func (s *serverStream) Header(response []byte, now bool) error {
	return s.failed(s.add(response, now, false), "the header")
}

// Finish is that of [call.Stream].
func (s *serverStream) Finish(response []byte) error {
	return s.failed(s.add(append(response, wire.StreamEnd), true, true), "the replies")
}

// add collects b, and with now gives all that was collected, to be the last or not.
func (s *serverStream) add(b []byte, now, last bool) error {
	if now {
		s.giving.Lock()
		defer s.giving.Unlock()
	}
	s.putting.Lock()
	s.W.Start()
	s.W.B = append(account.GrowBuffer(s.W.B, len(b)), b...)
	if !now {
		s.putting.Unlock()
		return nil
	}
	return s.give(last)
}

// give gives what was collected. Both mutexes are held, and putting is released: others
// may go on to collect.
func (s *serverStream) give(last bool) error {
	b := s.W.B
	s.W.B = nil
	s.putting.Unlock()
	if len(b) == 0 && !last {
		return nil
	}
	s.W.Gave(len(b))
	return servedFlow{s.in.Flow}.Give(b, true, last)
}

// Put is that of [flow.Sink].
func (s *serverStream) Put(it flow.Item) error {
	if !s.direct {
		return s.to.Put(it)
	}
	much, err := s.collect(it)
	if err == nil && much {
		err = s.Flush()
	}
	return err
}

// collect puts an item to those that are given soon, or reports that they are much.
// What a type has to encode itself may end this goroutine.
func (s *serverStream) collect(it flow.Item) (much bool, err error) {
	s.putting.Lock()
	defer s.putting.Unlock()
	err = s.to.Put(it)
	much = len(s.W.B) >= wire.FlushSize
	if soon := err == nil && !much && !s.flushing; soon {
		s.flushing = true
		go s.flushSoon()
	}
	return much, err
}

// Flush is that of [flow.Sink].
func (s *serverStream) Flush() error {
	s.giving.Lock()
	defer s.giving.Unlock()
	s.putting.Lock()
	return s.failed(s.give(false), "the stream")
}

// End is that of [flow.Sink]: Finish follows.
func (s *serverStream) End() error { return s.Flush() }

// flushSoon gives what was put, and what is put meanwhile.
func (s *serverStream) flushSoon() {
	for more := true; more; {
		if s.Flush() != nil {
			return // of which the next Put is told
		}
		s.putting.Lock()
		more = len(s.W.B) > 0
		s.flushing = more
		s.putting.Unlock()
	}
}

// Only is that of [call.Direct].
func (s *serverStream) Only(from flow.Source) (it flow.Item, only bool, err error) {
	for s.in.Flow.HasMore() {
		if err := s.R.Fill(s.from.Limits.Message()); err != nil {
			return it, false, nil // which who reads on finds too
		}
	}
	it, st, err := from.Next(false)
	if st != flow.HasItem || err != nil || !s.R.EndBuffered() {
		return it, false, err
	}
	s.in.Flow.CloseRead()
	s.R.Close()
	s.direct, s.to.Collects = true, true
	return it, true, nil
}

// Room is that of [call.Direct].
func (s *serverStream) Room(ctx context.Context) error {
	return s.in.Flow.Room(ctx)
}

func (s *serverStream) failed(err error, what string) error {
	if err == nil {
		return nil
	}
	return s.session.server.limits.Fault(err, call.OfServer, what)
}

// end gives back what the call holds: nobody sends or receives any more.
func (s *serverStream) end() {
	s.putting.Lock()
	defer s.putting.Unlock()
	s.flushing = true // and so nobody flushes
	s.Conn.Close()
}

// serveStream serves a streaming call, whose header has been read.
func (c *serverCall) serveStream() error {
	c.in.Flow.Skip(c.body)
	s := c.newServerStream()
	defer s.end()
	return c.session.server.core.Serve(context.Background(), &c.header, s, s)
}
