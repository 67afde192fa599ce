package rpctest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// pipeBuffer is how much each direction of a connection holds, as a socket's
// buffers would.
const pipeBuffer = 64 << 10

// pipeConn is one end of a connection in memory. Unlike net.Pipe's it has
// buffers: both sides of libp2p's protocols may write before they read.
type pipeConn struct {
	in, out       *half
	local, remote ma.Multiaddr
}

// pipe returns the two ends of a connection between two addresses.
func pipe(a, b ma.Multiaddr) (atA, atB *pipeConn) {
	ab, ba := newHalf(), newHalf()
	return &pipeConn{ba, ab, a, b}, &pipeConn{ab, ba, b, a}
}

func (c *pipeConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.out.write(p) }

func (c *pipeConn) Close() error {
	c.out.end()
	c.in.abandon()
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr           { return memoryAddr{c.local} }
func (c *pipeConn) RemoteAddr() net.Addr          { return memoryAddr{c.remote} }
func (c *pipeConn) LocalMultiaddr() ma.Multiaddr  { return c.local }
func (c *pipeConn) RemoteMultiaddr() ma.Multiaddr { return c.remote }

// half is one direction of a connection.
type half struct {
	mu              sync.Mutex
	changed         sync.Cond
	buf             []byte
	ended           bool // by the writer: what is left can be read
	abandoned       bool // by the reader
	readBy, writeBy deadline
}

type deadline struct {
	timer *time.Timer
	set   int // how many times
	past  bool
}

func newHalf() *half {
	h := new(half)
	h.changed.L = &h.mu
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.abandoned:
			return 0, net.ErrClosed
		case h.readBy.past:
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			if h.buf = h.buf[n:]; len(h.buf) == 0 {
				h.buf = nil
			}
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.ended:
			return n, net.ErrClosed
		case h.abandoned:
			return n, io.ErrClosedPipe
		case h.writeBy.past:
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		}
		if room := min(pipeBuffer-len(h.buf), len(p)-n); room > 0 {
			h.buf = append(h.buf, p[n:n+room]...)
			n += room
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

func (h *half) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.writeBy.stop()
	h.changed.Broadcast()
}

func (h *half) abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.abandoned, h.buf = true, nil
	h.readBy.stop()
	h.changed.Broadcast()
}

func (h *half) setDeadline(d *deadline, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d.stop()
	d.set++
	set, wait := d.set, time.Until(t)
	if d.past = !t.IsZero() && wait <= 0; d.past {
		h.changed.Broadcast()
	}
	if t.IsZero() || d.past {
		return
	}
	d.timer = time.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.set == set {
			d.past = true
			h.changed.Broadcast()
		}
	})
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
