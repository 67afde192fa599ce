package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// This file is about noticing that a caller has gone, while its method runs.

// maxStray is how much a caller may send after what the call needs.
const maxStray = 4 << 10

// Watch is that of [call.Served].
func (c *serverConn) Watch(ctx context.Context) context.Context {
	if c.unread != nil {
		c.watchUnread(ctx)
	} else {
		c.watchUnary(ctx)
	}
	return ctx
}

// Watched is that of [call.Served].
func (c *serverConn) Watched(ctx context.Context) context.Context { return ctx }

// Cancel is that of [call.Served].
func (c *serverConn) Cancel(cause error) {
	c.canceled.Store(true)
	c.cancel(cause)
	if !c.readAll.Load() {
		c.StopReading()
	}
}

// Expect is that of [call.Stream].
func (c *serverConn) Expect() { c.unread = &unread{begun: make(chan struct{})} }

// Begin is that of [call.Stream].
func (c *serverConn) Begin() { c.unread.begin() }

// unread is the time of a streaming call in which nobody reads the stream: an
// interceptor has the call, and the method is yet to be given it.
type unread struct {
	mu    sync.Mutex
	begun chan struct{} // closed when reading has
}

// begin ends that time.
func (u *unread) begin() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !flow.IsClosed(u.begun) {
		close(u.begun)
	}
}

// watchUnread looks now and then whether the caller is still there, until
// reading tells.
func (c *serverConn) watchUnread(ctx context.Context) {
	if flow.IsClosed(c.unread.begun) || c.watching.Swap(true) {
		return
	}
	look := func() error {
		c.unread.mu.Lock()
		defer c.unread.mu.Unlock()
		if flow.IsClosed(c.unread.begun) {
			return nil
		}
		return c.callerGone()
	}
	go func() {
		tick := time.NewTicker(pollTime)
		defer tick.Stop()
		for {
			select {
			case <-c.unread.begun:
				return
			case <-tick.C:
			}
			if err := look(); err != nil {
				c.AwaitDeadline(ctx, err)
				c.cancel(err)
				return
			}
		}
	}()
}

// watchUnary starts to read on after a unary argument: the end of the stream
// says that the caller has gone, as it does for v0.6. It is called when
// somebody wants to know, which most methods never do.
func (c *serverConn) watchUnary(ctx context.Context) {
	if c.watching.Load() {
		return
	}
	own := ctx // on the heap, which it is not before somebody watches
	c.wanted.Store(&own)
	if !c.readAll.Load() || c.watching.Swap(true) {
		return
	}
	c.watchers.Go(func() {
		if err := c.readOut(); err != nil {
			c.AwaitDeadline(ctx, err)
		}
		c.cancel(call.ErrCallerGone)
	})
}

// readOut reads to the end of the stream, whose error it returns, or until a caller sends
// too much.
func (c *serverConn) readOut() error {
	buf := make([]byte, 64)
	for stray := 0; stray <= maxStray; {
		n, err := c.st.Read(buf)
		if err != nil {
			return err
		}
		stray += n
	}
	return nil
}

// graceTime is for the answer to a v0.6 client's streaming call, which does not show that
// it has it.
const graceTime = 250 * time.Millisecond

// awaitEnd waits until a caller who has sent everything has the answer.
func (c *serverConn) awaitEnd() {
	_ = c.st.CloseWrite()
	_ = c.st.SetReadDeadline(time.Now().Add(lingerTime))
	switch {
	case c.unread != nil && !c.marked:
		time.Sleep(graceTime)
	case c.unread == nil && c.watching.Load():
		c.watchers.Wait()
	default:
		_ = c.readOut()
	}
}

// AwaitDeadline is that of [call.Stream]: the method is to see the deadline, not a
// cancellation.
func (c *serverConn) AwaitDeadline(ctx context.Context, err error) {
	var reset *network.StreamError
	if !errors.As(err, &reset) || !reset.Remote || reset.ErrorCode != network.StreamErrorCode(codes.DeadlineExceeded) {
		return
	}
	if d, ok := ctx.Deadline(); ok && time.Until(d) < call.Grace {
		<-ctx.Done()
	}
}

// Gone is that of [call.Stream].
func (c *serverConn) Gone(returned <-chan struct{}) error {
	c.argsEnd = true
	if c.marked {
		// The caller's side stays open to the end of the call.
		err := c.R.Discard(maxStray)
		if flow.IsClosed(returned) { // it was StopReading
			return nil
		}
		return errors.Join(call.ErrCallerGone, call.Masked(err))
	}
	// A v0.6 client has closed its side, and the muxers do not tell us of
	// anything after that but the connection's end.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-returned:
			return nil
		case <-tick.C:
			if c.st.Conn().IsClosed() {
				return call.ErrCallerGone
			}
		}
	}
}

// pollTime is how often a caller is looked for whose argument the method, or an
// interceptor before it, does not take: nothing is read meanwhile.
const pollTime = 250 * time.Millisecond

// Patient is that of [call.Stream].
func (c *serverConn) Patient(to flow.LateSink) flow.Sink { return &patientSink{LateSink: to, conn: c} }

// patientSink hands arguments to a method, and while it waits looks whether
// the caller is still there.
type patientSink struct {
	flow.LateSink
	conn *serverConn
	tick *time.Ticker
}

func (s *patientSink) Put(it flow.Item) error {
	if s.tick == nil {
		s.tick = time.NewTicker(pollTime)
		s.LateOn(s.tick.C)
	}
	for {
		err := s.LateSink.Put(it)
		if err != flow.ErrLate {
			return err
		}
		if err := s.conn.callerGone(); err != nil {
			return err
		}
	}
}

func (s *patientSink) End() error {
	if s.tick != nil {
		s.tick.Stop()
	}
	return s.LateSink.End()
}

// Await is that of [call.Stream].
func (c *serverConn) Await(ctx context.Context, a, b <-chan struct{}) {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case <-a:
		case <-b:
		case <-ctx.Done():
		case <-tick.C:
			if c.callerGone() == nil {
				continue
			}
		}
		return
	}
}

// callerGone asks the muxer, without reading anything.
func (c *serverConn) callerGone() error {
	_ = c.st.SetReadDeadline(wire.Past)
	_, err := c.st.Read(nil)
	_ = c.st.SetReadDeadline(time.Time{})
	if c.stopped.Load() {
		_ = c.st.SetReadDeadline(wire.Past)
	}
	var late net.Error // the muxers have deadline errors of their own
	if err == nil || err == io.EOF || errors.As(err, &late) && late.Timeout() {
		return nil
	}
	return errors.Join(call.ErrCallerGone, call.Masked(err))
}

// StopReading ends a read under way, and nothing that the caller can see.
func (c *serverConn) StopReading() {
	c.stopped.Store(true)
	c.StopWaiting()
	_ = c.st.SetReadDeadline(wire.Past)
}

// StopWriting is that of [call.Stream]. Only where the end is
// marked does reading tell that the caller has gone; a method that has returned has
// ended the reading itself.
func (c *serverConn) StopWriting() {
	if c.marked && !c.stopped.Load() {
		_ = c.st.SetWriteDeadline(wire.Past)
	}
}
