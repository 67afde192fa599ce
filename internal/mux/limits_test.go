package mux

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that says nothing more, while calls are under way, is given up.
func TestSilentPeerEndsItsCalls(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			c := newTestClient(a, testLimits())
			newRaw(t, b).send(settingsFrame())
			time.Sleep(time.Hour / 60) // without calls it may be silent
			start := time.Now()
			_, err := c.roundTrip(t.Context(), nil)
			if took := time.Since(start); !ended(t, err, ErrSilent) || took < 9*time.Second || took > 15*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
			c.check(t)
		})
	})
	t.Run("server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			s := newTestServer(b, testLimits(), func(in *Incoming) {
				gone := make(chan struct{})
				in.OnCancel(func(uint64, error) { close(gone) })
				<-gone
			})
			newRaw(t, a).send(settingsFrame(), wholeRequest(1, "x"))
			start := time.Now()
			<-s.fate.over
			if took := time.Since(start); s.fate.err != ErrSilent || took > 15*time.Second {
				t.Errorf("after %v: %v", took, s.fate.err)
			}
			s.check(t)
		})
	})
}

// One that freezes is given up too, though calls are made all the time: what
// they send is taken by what is on the way.
func TestFrozenPeerEndsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 20)
		c := newTestClient(a, testLimits())
		newRaw(t, b).send(settingsFrame(settingCalls, 1000))
		start := time.Now()
		for i := 0; ; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, err := c.roundTrip(ctx, make([]byte, 100))
			cancel()
			if err != context.DeadlineExceeded {
				ended(t, err, ErrSilent)
				if took := time.Since(start); took > 16*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
				break
			}
		}
		c.check(t)
	})
}

// A call may take as long as it likes: pings are answered meanwhile.
func TestSlowMethodsAreNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSession(testLimits(), func(in *Incoming) {
			time.Sleep(time.Hour)
			echo(in)
		})
		if reply, err := c.roundTrip(t.Context(), []byte("x")); err != nil || string(reply) != "x" {
			t.Errorf("got %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// Nor is a slow link, on which pings wait behind megabytes that are under way.
func TestSlowLinkIsNoSilence(t *testing.T) {
	for _, direction := range []string{"request", "reply"} {
		t.Run(direction, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const pause = time.Second / 16 // 16 KiB a second: a megabyte takes a minute
				a, b := newPipe(1 << 10)
				x, y := newPipe(1 << 10)
				for _, h := range []*half{x.out, b.out} {
					h.max = 256 << 10 // takes 16 s
				}
				slow := func(slow bool) func([]byte) error {
					return func(b []byte) error {
						if slow {
							time.Sleep(pause)
						}
						return nil
					}
				}
				go relay(a, y, slow(direction == "reply"))
				go relay(y, a, slow(direction == "request"))
				c := newTestClient(x, testLimits())
				s := newTestServer(b, testLimits(), func(in *Incoming) {
					if direction == "reply" {
						_ = in.Reply(nil, make([]byte, 1<<20))
						return
					}
					b, err := in.Whole(t.Context())
					_ = in.Reply(nil, []byte(fmt.Sprint(len(b), err)))
				})
				size := 1 << 20
				if direction == "reply" {
					size = 1
				}
				start := time.Now()
				_, err := c.roundTrip(t.Context(), make([]byte, size))
				if took := time.Since(start); err != nil || took < 50*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
				c.Close(ErrIdle)
				c.check(t)
				s.check(t)
			})
		})
	}
}

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
		"given up early": func(in *Incoming) { _, _ = in.Whole(context.Background()) },
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
			if took := time.Since(start); s.fate.err != ErrSilent || took > 15*time.Second {
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
			_, err := in.Whole(t.Context())
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
