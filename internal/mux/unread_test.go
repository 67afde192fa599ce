package mux

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that takes nothing of what is written is given up.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Silence = 0
		a, b := newPipe(1 << 10)
		c := newTestClient(a, lim)
		newRaw(t, b).send(settingsFrame())
		start := time.Now()
		_, err := c.roundTrip(t.Context(), make([]byte, 1<<20))
		if took := time.Since(start); !ended(t, err, ErrStalled) || took < 20*time.Second || took > 31*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		c.check(t)
	})
}

// The same in a server, whose methods are let go.
func TestClientThatDoesNotReadItsReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Silence = 0
		a, b := newPipe(1 << 10)
		s := newTestServer(b, lim, func(in *Incoming) {
			if err := in.Reply(make([]byte, 1<<20), nil); err == nil {
				t.Error("the reply was sent")
			}
		})
		peer := newRaw(t, a)
		peer.send(settingsFrame())
		for id := range 40 {
			peer.send(wholeRequest(uint64(id+1), "x"))
		}
		synctest.Wait()
		if n := s.mem.used.Load(); n < 40<<20-unreserved {
			t.Errorf("40 MiB of replies wait, and %d bytes are accounted for", n)
		}
		<-s.fate.over
		if !errors.Is(s.fate.err, ErrStalled) {
			t.Errorf("it ended with %v", s.fate.err)
		}
		s.check(t)
	})
}

// A peer that causes answers and does not read them is cut off before they take
// much memory.
func TestAnswersThatAreNotRead(t *testing.T) {
	flood := func(t *testing.T, peer *stream, frame func(n int) []byte) {
		t.Helper()
		for n := range 1 << 20 {
			if _, err := peer.Write(frame(n)); err != nil {
				return
			}
		}
		t.Error("a million frames were taken")
	}
	ping := func(int) []byte { return pingFrame(kindPing, "12345678") }
	t.Run("pings to a server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 10)
			s := newTestServer(b, testLimits(), echo)
			newRaw(t, a).send(settingsFrame())
			flood(t, a, ping)
			s.check(t)
			if !errors.Is(s.fate.err, ErrProtocol) {
				t.Errorf("it ended with %v", s.fate.err)
			}
		})
	})
	t.Run("pings to a client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 10)
			c := newTestClient(a, testLimits())
			newRaw(t, b).send(settingsFrame())
			flood(t, b, ping)
			c.check(t)
			if !errors.Is(c.fate.err, ErrProtocol) {
				t.Errorf("it ended with %v", c.fate.err)
			}
		})
	})
	t.Run("refused requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 10)
			lim := testLimits()
			lim.Calls = 1
			release := make(chan struct{})
			s := newTestServer(b, lim, func(*Incoming) { <-release })
			newRaw(t, a).send(settingsFrame())
			flood(t, a, func(n int) []byte { return wholeRequest(uint64(n+1), "x") })
			close(release)
			s.check(t)
			if !errors.Is(s.fate.err, ErrProtocol) || s.served.Load() != 1 {
				t.Errorf("it ended with %v, after %d calls", s.fate.err, s.served.Load())
			}
		})
	})
}

// Nor do the ends of calls take much, of which a client does not wait for one
// before it makes another.
func TestEndsOfCallsThatAreNotRead(t *testing.T) {
	big := make([]byte, smallMessage+1)
	for what, serve := range map[string]func(*Incoming){
		"no reply":       func(*Incoming) {},
		"declined":       func(in *Incoming) { _ = in.Decline(big[:200]) },
		"given up":       func(in *Incoming) { _ = in.Reply(nil, big) },
		"given up early": func(in *Incoming) { _, _, _ = in.Whole(context.Background(), false) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipe(1 << 10)
				s := newTestServer(b, testLimits(), serve)
				newRaw(t, a).send(settingsFrame())
				for n := uint64(1); ; n++ {
					if n == 1<<17 {
						t.Fatal("there was no end to it")
					}
					frames := wholeRequest(n, "x")
					if what == "given up early" {
						frames = requestFrame(n, 2, "x")
					}
					_, err := a.Write(frames)
					synctest.Wait() // or it would have too many calls at once
					if strings.HasPrefix(what, "given up") && err == nil {
						_, err = a.Write(cancelFrame(n, canceled))
						synctest.Wait()
					}
					if err != nil {
						break
					}
				}
				s.check(t)
				if s.fate.err != errUnread {
					t.Errorf("it ended with %v", s.fate.err)
				}
			})
		})
	}
}

// One that makes all the calls that it may and reads later gets all their ends.
func TestEndsOfCallsThatAreReadLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 10)
		lim := testLimits()
		lim.Calls = 1 << 10
		s := newTestServer(b, lim, func(in *Incoming) { _ = in.Decline(make([]byte, 240)) })
		peer := newRaw(t, a)
		peer.send(settingsFrame())
		for n := range lim.Calls {
			peer.send(wholeRequest(uint64(n+1), "x"))
		}
		synctest.Wait()
		peer.expect(kindSettings)
		for range lim.Calls {
			peer.expect(kindReply)
		}
		_ = a.Close()
		s.check(t)
	})
}

// Calls that are made and given up as fast as can be keep their places until
// their methods return; one too many ends the session.
func TestFloodOfCancelledCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 10)
		release := make(chan struct{})
		s := newTestServer(b, testLimits(), func(*Incoming) { <-release })
		peer := newRaw(t, a)
		peer.send(settingsFrame())
		n := uint64(0)
		for ; n < 1000; n++ {
			if _, err := a.Write(append(wholeRequest(n+1, "x"), cancelFrame(n+1, 1)...)); err != nil {
				break
			}
		}
		synctest.Wait()
		if got := s.served.Load(); got != int64(testLimits().Calls) {
			t.Errorf("%d calls of %d were served", got, n)
		}
		<-s.fate.over
		if !errors.Is(s.fate.err, ErrProtocol) {
			t.Errorf("it ended with %v", s.fate.err)
		}
		close(release)
		s.check(t)
	})
}
