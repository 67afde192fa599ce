package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// This file is about noticing that a caller has gone, while its method runs.

// maxStray is how much a caller may send after what the call needs.
const maxStray = 4 << 10

// watched begins to look out for the caller's going.
func (c *serverConn) watched(ctx context.Context) context.Context {
	if c.unread != nil {
		c.watchUnread()
	} else {
		c.watchUnary()
	}
	return ctx
}

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
	if !isClosed(u.begun) {
		close(u.begun)
	}
}

// watchUnread looks now and then whether the caller is still there, until
// reading tells.
func (c *serverConn) watchUnread() {
	if isClosed(c.unread.begun) || c.watching.Swap(true) {
		return
	}
	look := func() error {
		c.unread.mu.Lock()
		defer c.unread.mu.Unlock()
		if isClosed(c.unread.begun) {
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
				c.awaitDeadline(err)
				c.cancel(err)
				return
			}
		}
	}()
}

// watchUnary starts to read on after a unary argument: the end of the stream
// says that the caller has gone, as it does for v0.6. It is called when
// somebody wants to know, which most methods never do.
func (c *serverConn) watchUnary() {
	c.wanted.Store(true)
	if !c.readAll.Load() || c.watching.Swap(true) {
		return
	}
	go func() {
		buf := make([]byte, 64)
		for stray := 0; stray <= maxStray; {
			n, err := c.st.Read(buf)
			if err != nil {
				c.awaitDeadline(err)
				break
			}
			stray += n
		}
		c.cancel(errCallerGone)
	}()
}

// deadlineGrace is how far the two sides' clocks are trusted to differ over
// one deadline.
const deadlineGrace = time.Second

// awaitDeadline waits for the call's own deadline if err says that the caller
// has gone because of it: the method is to see that, not a cancellation.
func (c *serverConn) awaitDeadline(err error) {
	var reset *network.StreamError
	if !errors.As(err, &reset) || !reset.Remote || reset.ErrorCode != network.StreamErrorCode(CodeDeadlineExceeded) {
		return
	}
	if d, ok := c.ctx.Deadline(); ok && time.Until(d) < deadlineGrace {
		<-c.ctx.Done()
	}
}

// watchStream waits, when all arguments have been read, for a sign that the
// caller has gone, until the method has returned.
func (c *serverConn) watchStream(returned <-chan struct{}) error {
	c.argsEnd = true
	if c.marked {
		// The caller's side stays open to the end of the call.
		err := c.R.Discard(maxStray)
		if isClosed(returned) { // it was stopReading
			return nil
		}
		return errors.Join(errCallerGone, err)
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
				return errCallerGone
			}
		}
	}
}

// pollTime is how often a caller is looked for whose argument the method, or an
// interceptor before it, does not take: nothing is read meanwhile.
const pollTime = 250 * time.Millisecond

// patiently returns the sink of a method's arguments.
func (call *CallInfo) patiently(to lateSink) sink {
	if call.conn == nil {
		return to
	}
	return &patientSink{lateSink: to, conn: call.conn}
}

// lateSink is a sink whose put can be made to give up.
type lateSink interface {
	sink
	// lateOn makes a put that waits for room return errLate when ch, a
	// channel, has something.
	lateOn(ch any)
}

// patientSink hands arguments to a method, and while it waits looks whether
// the caller is still there.
type patientSink struct {
	lateSink
	conn *serverConn
	tick *time.Ticker
}

func (s *patientSink) put(it item) error {
	if s.tick == nil {
		s.tick = time.NewTicker(pollTime)
		s.lateOn(s.tick.C)
	}
	for {
		err := s.lateSink.put(it)
		if err != errLate {
			return err
		}
		if err := s.conn.callerGone(); err != nil {
			return err
		}
	}
}

func (s *patientSink) end() error {
	if s.tick != nil {
		s.tick.Stop()
	}
	return s.lateSink.end()
}

// await waits for a or b, or the end of the call.
func (call *CallInfo) await(ctx context.Context, a, b <-chan struct{}) {
	var tick <-chan time.Time
	if call.conn != nil {
		t := time.NewTicker(pollTime)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-a:
		case <-b:
		case <-ctx.Done():
		case <-tick:
			if call.conn.callerGone() == nil {
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
	return errors.Join(errCallerGone, err)
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// stopReading ends a read under way, and nothing that the caller can see.
func (c *serverConn) stopReading() {
	c.stopped.Store(true)
	c.StopWaiting()
	_ = c.st.SetReadDeadline(wire.Past)
}
