package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// tagged is the floor that has many calls on one stream. A frame is the
// caller's number, the length and the bytes. Whoever finds the stream idle
// writes for all who wait, and one goroutine reads. Large bodies are not
// copied into a frame, but written as they are.
type tagged struct {
	st network.Stream

	mu      sync.Mutex
	out     []byte // frames that wait to be written
	spare   []byte // the next out
	bodies  []body // large ones, which belong between bytes of out
	busy    bool   // somebody writes
	slots   []*slot
	free    []*slot
	failure error
}

// body is written after the first at bytes of out.
type body struct {
	at int
	b  []byte
}

// slot is a caller's: it has one call at a time.
type slot struct {
	id   uint32
	buf  []byte
	done chan error
}

const (
	tagHead   = 8
	largeBody = 16 << 10
)

func newTagged(ctx context.Context, from host.Host, to peer.ID) (system, error) {
	st, err := from.NewStream(ctx, to, tagProtocol)
	if err != nil {
		return system{}, err
	}
	t := &tagged{st: st}
	read := make(chan struct{})
	go func() {
		defer close(read)
		t.fail(t.read())
	}()
	return system{name: nameTagged, floor: true, echo: t.echo, close: func() {
		_ = st.Reset()
		<-read
	}}, nil
}

func (t *tagged) echo(_ context.Context, m message, check func([]byte) error) error {
	b := m.body()
	t.mu.Lock()
	if t.failure != nil {
		defer t.mu.Unlock()
		return t.failure
	}
	s := t.takeSlot(len(b))
	t.out = binary.BigEndian.AppendUint32(t.out, s.id)
	t.out = binary.BigEndian.AppendUint32(t.out, uint32(len(b)))
	if len(b) < largeBody {
		t.out = append(t.out, b...)
	} else {
		t.bodies = append(t.bodies, body{len(t.out), b})
	}
	mine := !t.busy
	t.busy = true
	t.mu.Unlock()
	if mine {
		runtime.Gosched() // callers that are ready add their frames
		t.write()
	}
	err := <-s.done
	if err == nil {
		err = check(s.buf)
	}
	t.mu.Lock()
	t.free = append(t.free, s)
	t.mu.Unlock()
	return err
}

func (t *tagged) takeSlot(size int) *slot {
	var s *slot
	if n := len(t.free); n > 0 {
		s = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		s = &slot{id: uint32(len(t.slots)), done: make(chan error, 1)}
		t.slots = append(t.slots, s)
	}
	if cap(s.buf) < size {
		s.buf = make([]byte, size)
	}
	s.buf = s.buf[:size]
	return s
}

// write writes until nothing waits.
func (t *tagged) write() {
	for {
		t.mu.Lock()
		if len(t.out) == 0 || t.failure != nil {
			t.busy = false
			t.mu.Unlock()
			return
		}
		out, bodies := t.out, t.bodies
		t.out, t.bodies = t.spare[:0], nil
		t.mu.Unlock()
		if err := writeParts(t.st, out, bodies); err != nil {
			t.fail(err)
		}
		t.spare = out // only who writes uses it
	}
}

func writeParts(w io.Writer, out []byte, bodies []body) error {
	start := 0
	for _, l := range bodies {
		if _, err := w.Write(out[start:l.at]); err != nil {
			return err
		}
		if _, err := w.Write(l.b); err != nil {
			return err
		}
		start = l.at
	}
	if start == len(out) {
		return nil
	}
	_, err := w.Write(out[start:])
	return err
}

// read gives replies to their callers, who wait.
func (t *tagged) read() error {
	r := bufio.NewReaderSize(t.st, 64<<10)
	for {
		head, err := r.Peek(tagHead)
		if err != nil {
			return err
		}
		id, n := binary.BigEndian.Uint32(head), int(binary.BigEndian.Uint32(head[4:]))
		_, _ = r.Discard(tagHead)
		t.mu.Lock()
		var s *slot
		if int(id) < len(t.slots) {
			s = t.slots[id]
		}
		t.mu.Unlock()
		if s == nil || n != len(s.buf) {
			return fmt.Errorf("a frame of %d bytes for caller %d", n, id)
		}
		if _, err := io.ReadFull(r, s.buf); err != nil {
			return err
		}
		s.done <- nil
	}
}

// fail ends all calls.
func (t *tagged) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure != nil {
		return
	}
	t.failure = err
	for _, s := range t.slots {
		select {
		case s.done <- err:
		default:
		}
	}
}

// echoTagged is the other side: it answers, in one write, all the frames that
// have come.
func echoTagged(st network.Stream) error {
	r := bufio.NewReaderSize(st, 64<<10)
	var out, large []byte
	flush := func() error {
		if len(out) == 0 {
			return nil
		}
		_, err := st.Write(out)
		out = out[:0]
		return err
	}
	for {
		if r.Buffered() < tagHead || len(out) > 64<<10 {
			if err := flush(); err != nil {
				return err
			}
		}
		head, err := r.Peek(tagHead)
		if err != nil {
			return ignoreEOF(err)
		}
		n := int(binary.BigEndian.Uint32(head[4:]))
		out = append(out, head...)
		_, _ = r.Discard(tagHead)
		if n < largeBody {
			start := len(out)
			out = append(out, make([]byte, n)...)
			if _, err := io.ReadFull(r, out[start:]); err != nil {
				return err
			}
			continue
		}
		if cap(large) < n {
			large = make([]byte, n)
		}
		if _, err := io.ReadFull(r, large[:n]); err != nil {
			return err
		}
		if err := flush(); err != nil {
			return err
		}
		if _, err := st.Write(large[:n]); err != nil {
			return err
		}
	}
}
