package mux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ended checks that a call ended with its session, and says whether its request
// may have been sent.
func ended(t testing.TB, err error, cause error) (sent bool) {
	t.Helper()
	var e *EndedError
	if !errors.As(err, &e) || cause != nil && !errors.Is(err, cause) {
		t.Errorf("got %v, not the end by %v", err, cause)
		return false
	}
	return e.Sent
}

// Every call ends when its session does: those under way, those whose large
// request has not had its turn, and those for which there is no place. Of the
// last two the client knows that they were not sent.
func TestCallsEndWithTheSession(t *testing.T) {
	for what, cut := range map[string]func(*testClient, *stream){
		"reset":    func(_ *testClient, st *stream) { _ = st.Reset() },
		"closed":   func(c *testClient, _ *stream) { c.Close(errReset) },
		"end":      func(_ *testClient, st *stream) { st.out.update(func() { st.out.closed = true }) },
		"nonsense": func(_ *testClient, st *stream) { _, _ = st.Write(pingFrame(kindPing, "short")) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipe(1 << 10) // nobody reads, so little is sent
				c := newTestClient(a, testLimits())
				peer := newRaw(t, b)
				peer.send(settingsFrame(settingCalls, 10))
				var wg sync.WaitGroup
				call := func(size int, sent bool) {
					wg.Go(func() {
						_, err := c.roundTrip(t.Context(), make([]byte, size))
						if got := ended(t, err, nil); got != sent {
							t.Errorf("%d bytes: sent is %v: %v", size, got, err)
						}
					})
					synctest.Wait()
				}
				call(smallMessage, true) // stuck midway
				for range 9 {
					call(4*FirstPiece, false)
				}
				for range 10 {
					call(10, false)
				}
				cut(c, b)
				wg.Wait()
				_, err := c.roundTrip(t.Context(), nil)
				if ended(t, err, nil) {
					t.Errorf("a later call: %v", err)
				}
				_ = b.Reset()
				c.check(t)
			})
		})
	}
}

// The server says which calls it has not looked at: those can be made
// elsewhere. The others end as they would have.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		c := newTestClient(a, testLimits())
		peer := newRaw(t, b)
		peer.send(settingsFrame(settingCalls, 3))
		results := make(chan string, 10)
		call := func(name string) {
			go func() {
				reply, err := c.roundTrip(t.Context(), []byte(name))
				var away *GoAwayError
				switch {
				case err == nil:
					results <- name + " " + string(reply)
				case errors.As(err, &away) && away.Code == 14 && away.Text == "going \uFFFDhome" && !ended(t, err, nil):
					results <- name + " away"
				default:
					t.Errorf("%s: %v", name, err)
					results <- ""
				}
			}()
			synctest.Wait()
		}
		for _, name := range []string{"1", "2", "3", "4", "5"} {
			call(name)
		}
		peer.send(goAwayFrame(2, 14, "going \xffhome"))
		synctest.Wait()
		call("6")
		peer.send(wholeReply(2, "two"), wholeReply(1, "one"))
		synctest.Wait()
		close(results)
		var got []string
		for r := range results {
			got = append(got, r)
		}
		slices.Sort(got)
		if want := []string{"1 one", "2 two", "3 away", "4 away", "5 away", "6 away"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if err := peer.end(); err != io.EOF { // with nothing left to do the client closes
			t.Errorf("the client ends with %v", err)
		}
		c.check(t)
	})
}

// The server sends all replies, and waits for the client to say by closing that
// it has them, but not for ever.
func TestServerGoesAway(t *testing.T) {
	for _, closes := range []bool{true, false} {
		t.Run(fmt.Sprint(closes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipe(1 << 16)
				release := make(chan struct{})
				s := newTestServer(b, testLimits(), func(in *Incoming) {
					<-release
					echo(in)
				})
				peer := newRaw(t, a)
				peer.send(settingsFrame(), wholeRequest(1, "one"), requestFrame(2, 100, "two"))
				peer.expect(kindSettings)
				synctest.Wait()
				s.GoAway(14, "enough")
				s.GoAway(14, "enough") // which says nothing new
				if f := peer.expect(kindGoAway); f.id != 2 || f.num != 14 || string(f.body) != "enough" {
					t.Errorf("got %+v", f)
				}
				// What is under way goes on, and what comes now is not looked at.
				peer.send(wholeRequest(3, "three"), requestFrame(4, 100, "four"), dataFrame(4, "more"), cancelFrame(3, 1))
				peer.send(dataFrame(2, string(bytes.Repeat([]byte("x"), 97))))
				close(release)
				for range 2 {
					if f := peer.expect(kindReply); f.id > 2 {
						t.Errorf("got %+v", f)
					}
				}
				synctest.Wait()
				start := time.Now()
				if closes {
					_ = a.Close()
				}
				<-s.fate.over
				if took := time.Since(start); s.fate.err != ErrIdle || closes != (took == 0) || took > lingerTime {
					t.Errorf("it ended after %v with %v", took, s.fate.err)
				}
				if n := s.served.Load(); n != 2 {
					t.Errorf("%d calls were served", n)
				}
				s.check(t)
			})
		})
	}
}

// No call is lost when a server goes away: each is answered, or known not to
// have been looked at.
func TestGoAwayLosesNoCall(t *testing.T) {
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			served := make(map[string]bool)
			c, s := newSession(testLimits(), func(in *Incoming) {
				mu.Lock()
				served[string(in.First())] = true
				mu.Unlock()
				time.Sleep(time.Millisecond)
				echo(in)
			})
			var wg sync.WaitGroup
			for i := range 500 {
				wg.Go(func() {
					time.Sleep(time.Duration(i%7) * time.Millisecond)
					name := fmt.Sprint(i)
					_, err := c.roundTrip(t.Context(), []byte(name))
					if err != nil && ended(t, err, nil) {
						t.Errorf("call %d is lost: %v", i, err)
					}
					mu.Lock()
					defer mu.Unlock()
					if served[name] != (err == nil) {
						t.Errorf("call %d: served is %v, and the caller has %v", i, served[name], err)
					}
				})
			}
			time.Sleep(time.Duration(round) * time.Millisecond / 2)
			s.GoAway(0, "round")
			wg.Wait()
			c.check(t)
			s.check(t)
		})
	}
}

func TestRetiredClientFinishesItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Calls = 1
		c, s := newSession(lim, func(in *Incoming) {
			time.Sleep(time.Second)
			echo(in)
		})
		synctest.Wait()
		var wg sync.WaitGroup
		for range 3 { // two of them wait
			wg.Go(func() {
				if _, err := c.roundTrip(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		c.Retire()
		if _, err := c.roundTrip(t.Context(), nil); ended(t, err, ErrIdle) {
			t.Errorf("a later call: %v", err)
		}
		wg.Wait()
		c.check(t)
		s.check(t)
	})
}

func TestIdleSessionCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSession(testLimits(), echo)
		start := time.Now()
		for range 3 { // a call every now and then keeps it
			time.Sleep(4 * time.Minute)
			if _, err := c.roundTrip(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		<-c.fate.over
		if took := time.Since(start); took < 16*time.Minute || took > 17*time.Minute {
			t.Errorf("after %v", took)
		}
		c.check(t)
		s.check(t)
		if c.fate.err != ErrIdle || s.fate.err != ErrIdle {
			t.Errorf("it ended with %v and %v", c.fate.err, s.fate.err)
		}
	})
}

// A server whose client has gone without a word tells it to, and goes.
func TestServerEndsAnIdleSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		s := newTestServer(b, testLimits(), echo)
		newRaw(t, a).send(settingsFrame())
		start := time.Now()
		<-s.fate.over
		if took := time.Since(start); took < 4*time.Minute || took > 6*time.Minute {
			t.Errorf("after %v", took)
		}
		s.check(t)
	})
}

// A method that ends its goroutine, or forgets to reply, ends its call.
func TestMethodThatDoesNotReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSession(testLimits(), func(in *Incoming) {
			if string(in.First()) == "exit" {
				runtime.Goexit()
			}
		})
		for _, request := range []string{"exit", "forget"} {
			if _, err := c.roundTrip(t.Context(), []byte(request)); !errors.As(err, new(*AbortedError)) {
				t.Errorf("%s: %v", request, err)
			}
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// Methods that run when a session ends are told, and end in peace.
func TestMethodsAreToldOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan error, 1)
		c, s := newSession(testLimits(), func(in *Incoming) {
			in.OnCancel(func(code uint64, err error) { told <- err })
			err := <-told
			in.OnCancel(func(_ uint64, late error) { // who asks late is told at once
				if late != err {
					t.Errorf("told %v, and then %v", err, late)
				}
			})
			if !errors.Is(err, errReset) {
				t.Errorf("told %v", err)
			}
			if in.Reply(nil, []byte("x")) == nil || in.Reply(nil, make([]byte, 1<<20)) == nil {
				t.Error("a reply to nobody")
			}
			if _, _, err := in.Whole(context.Background(), false); err == nil {
				t.Error("half a request is a whole one")
			}
		})
		go func() { _, _ = c.roundTrip(t.Context(), make([]byte, 1<<19)) }()
		synctest.Wait()
		s.Close(errReset)
		c.check(t)
		s.check(t)
	})
}

// A patient client sends no request before it has heard from the server.
func TestPatientClient(t *testing.T) {
	for _, goes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipe(1 << 16)
			lim := testLimits()
			lim.Patient = true
			c := newTestClient(a, lim)
			result := make(chan error, 1)
			go func() {
				_, err := c.roundTrip(t.Context(), []byte("x"))
				result <- err
			}()
			peer := newRaw(t, b)
			peer.expect(kindSettings)
			synctest.Wait()
			if len(c.open) > 0 {
				t.Error("a request was sent")
			}
			if goes {
				_ = b.Reset()
				if err := <-result; ended(t, err, errReset) {
					t.Errorf("it is said to be sent: %v", err)
				}
			} else {
				peer.send(settingsFrame())
				peer.send(wholeReply(peer.expect(kindRequest).id, "y"))
				if err := <-result; err != nil {
					t.Error(err)
				}
				c.Close(ErrIdle)
			}
			c.check(t)
		})
	}
}

// Of a first write that fails nobody knows how much arrived: its request may have
// been served.
func TestFirstWriteThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newPipe(100)
		c := newTestClient(&lazy{stream: a}, testLimits())
		result := make(chan error, 1)
		go func() {
			_, err := c.roundTrip(t.Context(), make([]byte, 1000))
			result <- err
		}()
		synctest.Wait()
		a.out.update(func() { a.out.reset = true }) // before the reader hears of it
		if err := <-result; !ended(t, err, errReset) {
			t.Errorf("the request is said not to be sent: %v", err)
		}
		c.check(t)
	})
}

// A caller that cannot wait leaves the first write alone.
func TestFirstWriteIsNotStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(100)
		c := newTestClient(&lazy{stream: a}, testLimits())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.roundTrip(ctx, make([]byte, 1000)); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		s := newTestServer(b, testLimits(), echo)
		if reply, err := c.roundTrip(t.Context(), []byte("x")); err != nil || string(reply) != "x" {
			t.Errorf("got %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}
