package mux

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A reply for which no memory is granted can be replaced by a smaller one.
func TestReplyWithoutMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		s := &testServer{fate: newFate()}
		s.mem.max = 100 << 10
		s.start(b, testLimits(), func(in *Incoming) {
			err := in.Reply(make([]byte, 1<<20), nil)
			if !errors.Is(err, ErrMemory) {
				t.Errorf("got %v", err)
			}
			_ = in.Reply(nil, []byte("sorry"))
		})
		c := newTestClient(a, testLimits())
		if reply, err := c.roundTrip(t.Context(), nil); err != nil || string(reply) != "sorry" {
			t.Errorf("got %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// A message of which no more comes is given up, and nothing else with it.
func TestStalledMessages(t *testing.T) {
	t.Run("request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			s := newTestServer(b, testLimits(), echo)
			peer := newRaw(t, a)
			peer.send(settingsFrame(), requestFrame(1, 1000, "x"))
			peer.expect(kindSettings)
			start := time.Now()
			for alive := true; alive; {
				f, err := peer.read()
				switch {
				case err != nil:
					t.Fatal(err)
				case f.kind == kindPing:
					peer.send(pingFrame(kindPong, string(f.body)))
				case f.kind == kindReply && f.id == 1:
					if took := time.Since(start); string(f.body) != ErrStalled.Error() || took < 20*time.Second || took > 31*time.Second {
						t.Errorf("after %v: %q", took, f.body)
					}
					alive = false
				}
			}
			peer.send(wholeRequest(2, "y"))
			if f := peer.expect(kindReply); f.id != 2 {
				t.Errorf("got %+v", f)
			}
			_ = a.Close()
			s.check(t)
		})
	})
	t.Run("reply", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			c := newTestClient(a, testLimits())
			peer := newRaw(t, b)
			peer.send(settingsFrame())
			over := make(chan struct{})
			go func() {
				defer close(over)
				for {
					f, err := peer.read()
					if err != nil {
						return
					}
					switch {
					case f.kind == kindPing:
						peer.send(pingFrame(kindPong, string(f.body)))
					case f.kind == kindRequest && f.id == 1:
						peer.send(replyFrame(1, 1000, "x"))
					case f.kind == kindRequest:
						peer.send(wholeReply(f.id, "y"))
					case f.kind == kindCancel:
						peer.send(abortFrame(f.id))
					}
				}
			}()
			start := time.Now()
			_, err := c.roundTrip(t.Context(), nil)
			if took := time.Since(start); !errors.Is(err, ErrStalled) || took < 20*time.Second || took > 31*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
			if reply, err := c.roundTrip(t.Context(), nil); err != nil || string(reply) != "y" {
				t.Errorf("got %q, %v", reply, err)
			}
			synctest.Wait()
			if n := c.calls(); n != 0 {
				t.Errorf("%d calls under way", n)
			}
			c.Close(ErrIdle)
			c.check(t)
			<-over
		})
	})
	t.Run("frame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			s := newTestServer(b, testLimits(), echo)
			peer := newRaw(t, a)
			peer.send(settingsFrame(), requestFrame(1, 1000, strings.Repeat("x", 1000))[:50])
			start := time.Now()
			<-s.fate.over
			if took := time.Since(start); s.fate.err != ErrSilent || took > 15*time.Second*5/4 {
				t.Errorf("after %v: %v", took, s.fate.err)
			}
			s.check(t)
		})
	})
}

func TestPeerWithoutSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := newPipe(1 << 16)
		lim := testLimits()
		lim.Settings = 10 * time.Second
		s := newTestServer(b, lim, echo)
		start := time.Now()
		<-s.fate.over
		if took := time.Since(start); took > 10*time.Second || !errors.Is(s.fate.err, ErrStalled) {
			t.Errorf("after %v: %v", took, s.fate.err)
		}
		s.check(t)
	})
}

// Messages over a side's limit are no harm to the session.
func TestMessagesOverTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		small, large := testLimits(), testLimits()
		small.Message = 100 << 10
		check := func(err error, request bool) {
			t.Helper()
			var e *TooLargeError
			if !errors.As(err, &e) || e.Request != request || e.Size != 200<<10 || e.Max != 100<<10 {
				t.Errorf("got %v", err)
			}
		}
		a, b := newPipe(1 << 16)
		c, s := newTestClient(a, small), newTestServer(b, large, func(in *Incoming) {
			_ = in.Reply(nil, make([]byte, 200<<10))
		})
		_, err := c.roundTrip(t.Context(), nil)
		check(err, false)
		if n := c.mem.most.Load(); n > 128<<10 {
			t.Errorf("%d bytes were held for it", n)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)

		a, b = newPipe(1 << 16)
		c, s = newTestClient(a, large), newTestServer(b, small, echo)
		synctest.Wait() // the client knows the limit
		_, err = c.roundTrip(t.Context(), make([]byte, 200<<10))
		check(err, true)
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)

		a, b = newPipe(1 << 16) // one that sends it all the same
		s = newTestServer(b, small, func(in *Incoming) {
			_, _, err := in.Whole(t.Context(), false)
			check(err, true)
			_ = in.Reply(nil, []byte("too large"))
		})
		peer := newRaw(t, a)
		peer.send(settingsFrame(), requestFrame(1, 200<<10, "x"))
		peer.expect(kindSettings)
		peer.expect(kindReply)
		_ = a.Close()
		s.check(t)
	})
}
