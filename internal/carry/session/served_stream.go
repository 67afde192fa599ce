package session

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/stream"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// serverStream is a server's side of a streaming call. That the caller has gone is a
// frame, of which the method's context hears whether anybody reads or not.
type serverStream struct {
	*serverCall
	wire.Conn
	canceled atomic.Bool
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
		return call.Masked(err)
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
	from, to := stream.NewServer(&s.Conn, i, true, s, &s.canceled)
	to.Prefix = stream.Bare
	return from, to
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

// Buffer is that of [call.Served]: replies may be waiting in it.
func (s *serverStream) Buffer() []byte {
	s.W.Start()
	return s.W.B
}

// Send is that of [call.Served].
func (s *serverStream) Send(head, body []byte) error {
	s.W.B = append(head, body...)
	if !s.in.HasSlot { // or there would be no bound to how many wait for the peer to read
		defer account.FreeBuffer(head)
		s.W.B = nil
		return s.in.Decline(head)
	}
	return s.failed(s.W.End(), "the reply")
}

// Header is that of [call.Stream].
func (s *serverStream) Header(response []byte, now bool) error {
	s.W.Start()
	if s.W.B = append(s.W.B, response...); !now {
		return nil
	}
	return s.failed(s.W.Flush(), "the header")
}

// Finish is that of [call.Stream].
func (s *serverStream) Finish(response []byte) error {
	s.W.Start()
	s.W.B = append(append(s.W.B, response...), wire.StreamEnd)
	return s.failed(s.W.End(), "the replies")
}

func (s *serverStream) failed(err error, what string) error {
	if err == nil {
		return nil
	}
	return s.session.server.limits.Fault(err, call.OfServer, what)
}

// end gives back what the call holds: nobody sends or receives any more.
func (s *serverStream) end() { s.Conn.Close() }

// serveStream serves a streaming call, whose header has been read.
func (c *serverCall) serveStream() error {
	c.in.Flow.Skip(c.body)
	s := c.newServerStream()
	defer s.end()
	return c.session.server.core.Serve(context.Background(), &c.header, s, s)
}
