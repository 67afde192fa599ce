package mux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cat joins frames.
func cat(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// badFrames are no frames at all, or have a length that none has.
var badFrames = map[string][]byte{
	"empty":                     {0},
	"too long":                  binary.AppendUvarint(nil, MaxFrame+1),
	"very long":                 binary.AppendUvarint(nil, 1<<40),
	"of 2^32 and 9 bytes":       append(binary.AppendUvarint(nil, 1<<32+9), pingFrame(kindPing, "12345678")[1:]...),
	"of 2^32-1 bytes":           binary.AppendUvarint(nil, 1<<32-1),
	"length without an end":     bytes.Repeat([]byte{0xff}, 11),
	"length that is padded":     {0x82, 0x00, byte(kindSettings), 0},
	"kind 0":                    {1, 0},
	"unknown kind":              {1, byte(lastKind) + 1},
	"last of the unknown kinds": {1, firstExtension - 1},
	"settings with half a pair": {2, byte(kindSettings), 1},
	"settings cut":              {3, byte(kindSettings), 1, 0x80},
	"number that is too large":  append([]byte{14, byte(kindCancel), 1}, bytes.Repeat([]byte{0xff}, 12)...),
	"number that is missing":    {2, byte(kindCancel), 1},
	"short ping":                pingFrame(kindPing, "1234567"),
	"long ping":                 pingFrame(kindPong, "123456789"),
	"long ping of 4 KiB":        pingFrame(kindPong, strings.Repeat("1", readBuffer)),
	"cancel with more":          {4, byte(kindCancel), 1, 1, 1},
	"empty data":                dataFrame(1, ""),
}

// What no client sends ends the session, and no method runs.
func TestServerEndsIllegalSessions(t *testing.T) {
	cases := map[string][]byte{
		"data of no call":             dataFrame(1, "x"),
		"cancel of no call":           cancelFrame(1, 1),
		"cancel of call 0":            cancelFrame(0, 1),
		"request 0":                   wholeRequest(0, "x"),
		"request that is not begun":   requestFrame(1, 10, ""),
		"piece longer than its whole": requestFrame(1, 1, "xx"),
		"request of 2 GiB":            requestFrame(1, 1<<31, "x"),
		"request of 2^64-1 bytes":     requestFrame(1, 1<<64-1, "x"),
		"reply":                       wholeReply(1, "x"),
		"abort":                       abortFrame(1),
		"refusal":                     refuseFrame(1, 14, "x"),
		"go-away":                     goAwayFrame(1, 14, "x"),
	}
	for name, frame := range badFrames {
		cases[name] = frame
	}
	for name, frames := range cases {
		t.Run(name, func(t *testing.T) { endsServer(t, 0, settingsFrame(), frames) })
	}
	for name, first := range map[string][]byte{
		"request": wholeRequest(1, "x"), "ping": pingFrame(kindPing, "12345678"), "unknown": {1, firstExtension},
	} {
		t.Run(name+" before settings", func(t *testing.T) { endsServer(t, 0, nil, first) })
	}
	for name, second := range map[string][]byte{
		"the same ID again":   wholeRequest(5, "x"),
		"a smaller ID":        wholeRequest(4, "x"),
		"data of a whole":     dataFrame(5, "x"),
		"data of one between": dataFrame(4, "x"),
	} {
		t.Run(name, func(t *testing.T) { endsServer(t, 1, cat(settingsFrame(), wholeRequest(5, "x")), second) })
	}
	for name, more := range map[string][]byte{
		"more data than was announced":  dataFrame(5, "xxxxx"),
		"data after a cancel":           cat(cancelFrame(5, 1), dataFrame(5, "x")),
		"the ID of a cancelled request": cat(cancelFrame(5, 1), wholeRequest(5, "x")),
	} {
		t.Run(name, func(t *testing.T) { endsServer(t, 1, cat(settingsFrame(), requestFrame(5, 5, "x")), more) })
	}
}

// endsServer has a client send what ends the session, after so many calls.
func endsServer(t *testing.T, calls int64, before, frames []byte) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 20)
		s := newTestServer(b, testLimits(), func(in *Incoming) {
			gone := make(chan struct{})
			in.OnCancel(func(uint64, error) { close(gone) })
			<-gone
		})
		raw := newRaw(t, a)
		raw.send(before)
		synctest.Wait() // its call is served, though the session ends
		raw.send(frames)
		start := time.Now()
		<-s.fate.over
		if took := time.Since(start); took > 0 || s.fate.err == nil || s.served.Load() != calls {
			t.Errorf("after %v and %d calls: %v", took, s.served.Load(), s.fate.err)
		}
		s.check(t)
	})
}

// What no server sends ends the session, with all calls.
func TestClientEndsIllegalSessions(t *testing.T) {
	cases := map[string][]byte{
		"data before a reply":       dataFrame(1, "x"),
		"data of no call":           dataFrame(9, "x"),
		"reply to no call":          wholeReply(9, "x"),
		"reply to call 0":           wholeReply(0, "x"),
		"abort of no call":          abortFrame(9),
		"refusal of no call":        refuseFrame(9, 14, "x"),
		"refusal after a reply":     cat(replyFrame(1, 10, "x"), refuseFrame(1, 14, "x")),
		"two replies":               cat(wholeReply(1, "x"), wholeReply(1, "x")),
		"a reply within a reply":    cat(replyFrame(1, 10, "x"), wholeReply(1, "x")),
		"more than was announced":   cat(replyFrame(1, 2, "x"), dataFrame(1, "xx")),
		"data after a whole reply":  cat(wholeReply(1, "x"), dataFrame(1, "x")),
		"data after an abort":       cat(replyFrame(1, 2, "x"), abortFrame(1), dataFrame(1, "x")),
		"reply of 2 GiB":            replyFrame(1, 1<<31, "x"),
		"request":                   wholeRequest(1, "x"),
		"cancel":                    cancelFrame(1, 1),
		"reply without a beginning": replyFrame(1, 10, ""),
	}
	for name, frame := range badFrames {
		cases[name] = frame
	}
	for name, frames := range cases {
		t.Run(name, func(t *testing.T) { endsClient(t, cat(settingsFrame(), frames)) })
	}
	for name, first := range map[string][]byte{
		"reply": wholeReply(1, "x"), "ping": pingFrame(kindPing, "12345678"), "unknown": {1, firstExtension},
	} {
		t.Run(name+" before settings", func(t *testing.T) { endsClient(t, first) })
	}
}

// endsClient has a server send what ends the session while there is a call.
func endsClient(t *testing.T, frames []byte) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 20)
		c := newTestClient(a, testLimits())
		results := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := c.roundTrip(t.Context(), []byte("x"))
				results <- err
			}()
		}
		synctest.Wait()
		newRaw(t, b).send(frames)
		start := time.Now()
		c.check(t)
		if took := time.Since(start); took > 0 || c.fate.err == nil {
			t.Errorf("after %v: %v", took, c.fate.err)
		}
		failed := 0
		for range 2 {
			if err := <-results; errors.As(err, new(*AbortedError)) || err != nil && ended(t, err, nil) {
				failed++
			}
		}
		if failed == 0 {
			t.Error("no call has failed")
		}
	})
}

// What may come is passed over.
func TestUnknownFramesAndSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 20)
		unknown := cat(
			appendFrame(nil, firstExtension, nil), appendFrame(nil, 255, nil, bytes.Repeat([]byte("x"), MaxFrame-1)),
			settingsFrame(7, 8, 1<<63, 1<<63), pingFrame(kindPong, "unasked "))
		x, y := newPipe(1 << 20)
		s := &testServer{fate: newFate()}
		s.mem.max = 1 // an unknown frame needs none
		c := newTestClient(x, testLimits())
		go func() { // to the server
			peer := newRaw(t, y)
			f := peer.expect(kindSettings)
			a.send(t, appendFrame(nil, f.kind, nil, f.body), unknown)
			for {
				f, err := peer.read()
				if err != nil {
					_ = a.Close()
					return
				}
				a.send(t, appendFrame(nil, f.kind, []uint64{f.id, f.num}, f.body), unknown)
			}
		}()
		go relay(a, y, func([]byte) error { return nil })
		s.start(b, testLimits(), echo)
		for range 3 {
			if reply, err := c.roundTrip(t.Context(), []byte("x")); err != nil || string(reply) != "x" {
				t.Fatalf("got %q, %v", reply, err)
			}
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

func (s *stream) send(t testing.TB, frames ...[]byte) {
	for _, f := range frames {
		if _, err := s.Write(f); err != nil {
			t.Error(err)
		}
	}
}

// The memory of a message follows what has arrived of it, whatever it is said
// to be, and frames that do not come take what is accounted for.
func TestMemoryFollowsWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Message = 1 << 30
		a, b := newPipe(1 << 20)
		s := newTestServer(b, lim, func(in *Incoming) { _, _, _ = in.Whole(t.Context(), false) })
		peer := newRaw(t, a)
		peer.send(settingsFrame())
		for id := range uint64(50) {
			peer.send(requestFrame(id+1, 1<<30, "x"))
		}
		synctest.Wait()
		if n := s.mem.used.Load(); n != 0 { // each needs a byte or two
			t.Errorf("%d bytes", n)
		}
		piece := strings.Repeat("x", FirstPiece)
		for i := range 64 {
			peer.send(dataFrame(1, piece))
			synctest.Wait()
			if n, most := s.mem.used.Load(), int64(2*growth*(i+2)*FirstPiece+8*step); n > most {
				t.Fatalf("%d bytes after %d pieces", n, i+1)
			}
		}
		peer.send(requestFrame(100, 1<<30, piece)[:maxLen+maxHead]) // and the rest does not come
		synctest.Wait()
		if s.conn.account.Used() < 64*FirstPiece+FirstPiece {
			t.Errorf("%d bytes for it all", s.conn.account.Used())
		}
		_ = a.Reset()
		s.check(t)
	})
}

// Where no memory is granted the call ends, not the session.
func TestNoMemoryIsTheCallsError(t *testing.T) {
	for _, free := range []int64{1, 70 << 10, 200 << 10} {
		t.Run(fmt.Sprint(free), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipe(1 << 16)
				c := &testClient{fate: newFate()}
				c.mem.max = free
				c.Client = NewClient(a, &c.mem, testLimits(), c.fate.ended)
				s := newTestServer(b, testLimits(), func(in *Incoming) {
					if b := in.First(); string(b) == "large" {
						_ = in.Reply(nil, make([]byte, 1<<20))
						return
					}
					echo(in)
				})
				for range 3 {
					if _, err := c.roundTrip(t.Context(), []byte("large")); !errors.Is(err, ErrMemory) {
						t.Errorf("a large reply: %v", err)
					}
					if _, err := c.roundTrip(t.Context(), make([]byte, 1<<20)); !errors.Is(err, ErrMemory) {
						t.Errorf("a large request: %v", err)
					}
					if reply, err := c.roundTrip(t.Context(), []byte("small")); err != nil || string(reply) != "small" {
						t.Errorf("a small one: %q, %v", reply, err)
					}
				}
				c.Close(ErrIdle)
				c.check(t)
				s.check(t)

				a, b = newPipe(1 << 16)
				c = newTestClient(a, testLimits())
				s = &testServer{fate: newFate()}
				s.mem.max = free
				s.start(b, testLimits(), func(in *Incoming) {
					if _, _, err := in.Whole(t.Context(), false); errors.Is(err, ErrMemory) {
						_ = in.Reply(nil, []byte("no memory"))
						return
					}
					echo(in)
				})
				for range 3 {
					reply, err := c.roundTrip(t.Context(), make([]byte, 1<<20))
					if refused := errors.As(err, new(*RefusedError)); !refused && string(reply) != "no memory" {
						t.Errorf("a large request: %q, %v", reply, err)
					}
					if reply, err := c.roundTrip(t.Context(), []byte("small")); err != nil || string(reply) != "small" {
						t.Errorf("a small one: %q, %v", reply, err)
					}
				}
				c.Close(ErrIdle)
				c.check(t)
				s.check(t)
			})
		})
	}
}

// conversation has both sides make a few calls of every sort over a faulty
// stream, which change makes of what goes in one direction. Every call ends
// once; a reply that arrives is the right one unless bytes were changed.
func conversation(t *testing.T, toServer bool, change func([]byte) error, changes bool) {
	synctest.Test(t, func(t *testing.T) {
		var both sync.WaitGroup
		a, b := newPipe(1 << 12)
		x, y := newPipe(1 << 12)
		x.reads = func(n int) int { return min(n, 7) } // short reads
		pass := func([]byte) error { return nil }
		if toServer {
			both.Go(func() { relay(y, a, change) })
			both.Go(func() { relay(a, y, pass) })
		} else {
			both.Go(func() { relay(y, a, pass) })
			both.Go(func() { relay(a, y, change) })
		}
		c := newTestClient(x, testLimits())
		s := newTestServer(b, testLimits(), echo)
		// A request that was changed into a frame that is passed over has no reply.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for i, size := range []int{0, 3, 200, 2*FirstPiece + 5} {
			wg.Go(func() {
				request := bytes.Repeat([]byte{byte(i)}, size)
				reply, err := c.roundTrip(ctx, request)
				if ctx.Err() != nil && !changes {
					t.Errorf("call %d does not end", i)
				}
				if err == nil && !changes && !bytes.Equal(reply, request) {
					t.Errorf("call %d has %d other bytes for a reply", i, len(reply))
				}
			})
		}
		wg.Wait()
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
		both.Wait()
	})
}

// length is how many bytes a conversation has in one direction.
func length(t *testing.T, toServer bool) (n int) {
	conversation(t, toServer, func(b []byte) error { n += len(b); return nil }, false)
	return n
}

// places are some of n, the first and the last among them.
func places(n int) (all []int) {
	for i := 0; i < n; i++ {
		if all = append(all, i); i > 400 && i < n-60 {
			i += 4999
		}
	}
	return all
}

func TestSessionCutAtEveryByte(t *testing.T) {
	for _, toServer := range []bool{true, false} {
		for _, how := range []error{errReset, io.EOF} {
			for _, at := range places(length(t, toServer)) {
				n := 0
				conversation(t, toServer, func(b []byte) error {
					if n += len(b); n > at {
						return how
					}
					return nil
				}, false)
			}
		}
	}
}

func TestSessionStalledAtEveryByte(t *testing.T) {
	for _, toServer := range []bool{true, false} {
		for _, at := range places(length(t, toServer)) {
			n := 0
			conversation(t, toServer, func(b []byte) error {
				if n += len(b); n > at {
					time.Sleep(100 * time.Hour)
				}
				return nil
			}, false)
		}
	}
}

func TestSessionWithEveryByteChanged(t *testing.T) {
	for _, toServer := range []bool{true, false} {
		for _, at := range places(length(t, toServer)) {
			for _, bits := range []byte{1, 0x80} {
				n := 0
				conversation(t, toServer, func(b []byte) error {
					if n <= at && at < n+len(b) {
						b[at-n] ^= bits
					}
					n += len(b)
					return nil
				}, true)
			}
		}
	}
}
