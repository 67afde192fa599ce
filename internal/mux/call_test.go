package mux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMessagesOfEverySizeArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSession(testLimits(), echo)
		for _, n := range []int{0, 1, readBuffer, smallMessage, smallMessage + 1, FirstPiece - 1, FirstPiece, FirstPiece + 1,
			2 * FirstPiece, MaxFrame, 5*FirstPiece + 7, 1 << 20} {
			request := bytes.Repeat([]byte("0123456"), n/7+1)[:n]
			if reply, err := c.roundTrip(t.Context(), request); err != nil || !bytes.Equal(reply, request) {
				t.Errorf("%d bytes: %d bytes, %v", n, len(reply), err)
			}
			reply, err := c.Call(t.Context(), &Request{Head: request[:n/3], Body: request[n/3:], Code: nobody})
			if err != nil || !bytes.Equal(reply.Bytes(), request) {
				t.Fatalf("%d bytes in two parts: %v", n, err)
			}
			reply.Release()
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// Each call gets its own reply, large or small, and more callers than calls may
// be under way are served.
func TestManyCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Calls = 40 // more than a client may have before it knows
		var now, most atomic.Int32
		c, s := newSession(lim, func(in *Incoming) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			now.Add(-1)
			echo(in)
		})
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				request := []byte(strings.Repeat(fmt.Sprint(i, ","), i*i%7000))
				if reply, err := c.roundTrip(t.Context(), request); err != nil || !bytes.Equal(reply, request) {
					t.Errorf("call %d: %d bytes, %v", i, len(reply), err)
				}
			})
		}
		wg.Wait()
		if n := most.Load(); n > 40 || n < 33 {
			t.Errorf("%d calls at once", n)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// A client that makes more calls at once than the server takes, before it has
// heard how many that is, has them all served.
func TestCallsBeforeTheSettingsAreSentAgain(t *testing.T) {
	for _, size := range []int{10, 3 * FirstPiece} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lim := testLimits()
				lim.Calls = 2
				a, b := newPipe(1 << 20)
				c := newTestClient(a, lim)
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						request := bytes.Repeat([]byte{byte(i)}, size)
						if reply, err := c.roundTrip(t.Context(), request); err != nil || !bytes.Equal(reply, request) {
							t.Errorf("call %d: %v", i, err)
						}
					})
				}
				synctest.Wait()
				s := newTestServer(b, lim, echo)
				wg.Wait()
				synctest.Wait()
				if n := len(s.skipped); n > 0 {
					t.Errorf("the server still waits for the rest of %d refused requests", n)
				}
				if n := s.served.Load(); n != 100 {
					t.Errorf("%d calls were served", n)
				}
				c.Close(ErrIdle)
				c.check(t)
				s.check(t)
			})
		})
	}
}

// A large request that is refused, or whose call ends without a reply, is not
// waited for.
func TestRefusedLargeRequestsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		c, s := newSession(lim, func(*Incoming) {}) // which is no reply
		var aborted *AbortedError
		for range 3 * lim.Calls {
			if _, err := c.roundTrip(t.Context(), make([]byte, 8*FirstPiece)); !errors.As(err, &aborted) {
				t.Fatalf("got %v", err)
			}
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)

		a, b := newPipe(1 << 16)
		c = newTestClient(a, lim)
		s = &testServer{fate: newFate()}
		s.mem.max = unreserved // and nothing more
		s.start(b, lim, echo)
		var refused *RefusedError
		for range 3 * lim.Calls {
			if _, err := c.roundTrip(t.Context(), make([]byte, 8*FirstPiece)); !errors.As(err, &refused) || refused.Code != refusedForMemory {
				t.Fatalf("got %v", err)
			}
		}
		if reply, err := c.roundTrip(t.Context(), []byte("small")); err != nil || string(reply) != "small" {
			t.Errorf("a small one: %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codes := make(chan uint64, 1)
		release := make(chan struct{})
		c, s := newSession(testLimits(), func(in *Incoming) {
			in.OnCancel(func(code uint64, err error) { codes <- code })
			<-release // and heeds nothing
			if err := in.Reply(nil, []byte("late")); err == nil {
				t.Error("a reply to nobody")
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := c.Call(ctx, &Request{Body: []byte("x"), Code: func(error) uint64 { return 4 }}); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		if code := <-codes; code != 4 {
			t.Errorf("the server is told %d", code)
		}
		synctest.Wait()
		if n := s.overed.Load(); n > 0 {
			t.Error("the call's place is free, and its method runs")
		}
		if n := c.calls(); n != 1 {
			t.Errorf("%d calls under way, for the client", n)
		}
		close(release)
		synctest.Wait()
		if n := c.calls(); n != 0 {
			t.Errorf("%d calls under way, when none is", n)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// What waits for a place, or for its turn to be written, ends with its context
// too, and is never sent.
func TestQueuedCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{10, 2 * FirstPiece} {
			lim := testLimits()
			lim.Calls = 1
			release := make(chan struct{})
			c, s := newSession(lim, func(in *Incoming) {
				<-release
				echo(in)
			})
			synctest.Wait() // the client knows the limit
			first := make(chan error, 1)
			go func() {
				_, err := c.roundTrip(t.Context(), []byte("first"))
				first <- err
			}()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := c.roundTrip(ctx, make([]byte, size)); !errors.As(err, new(*UnbegunError)) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
				})
			}
			wg.Wait()
			cancel()
			close(release)
			if err := <-first; err != nil {
				t.Error(err)
			}
			if _, err := c.roundTrip(t.Context(), []byte("last")); err != nil {
				t.Error(err)
			}
			if n := s.served.Load(); n != 2 {
				t.Errorf("%d calls were served", n)
			}
			c.Close(ErrIdle)
			c.check(t)
			s.check(t)
		}
	})
}

// A caller is not held up by a peer that does not read, and what was half
// written is gone on with.
func TestCallEndsWithItsContextWhileItWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		a, b := newPipe(100)
		c := newTestClient(a, lim)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := c.roundTrip(ctx, bytes.Repeat([]byte("x"), 1000)); err != context.Canceled {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("after %v", took)
		}
		// Others give up before a byte of theirs is written, and after.
		for i := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := c.roundTrip(ctx, bytes.Repeat([]byte("y"), i*FirstPiece/2)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		s := newTestServer(b, lim, echo)
		if reply, err := c.roundTrip(t.Context(), []byte("now")); err != nil || string(reply) != "now" {
			t.Errorf("got %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// A reply that comes before all of the request is sent ends the sending.
func TestEarlyReplyEndsTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 32 << 20
		a, b := newPipe(1 << 10)
		var moved atomic.Int64
		x, y := newPipe(1 << 10)
		go relay(y, a, func(b []byte) error { moved.Add(int64(len(b))); return nil })
		go relay(a, y, func([]byte) error { return nil })
		lim := testLimits()
		lim.Message = size
		c := newTestClient(x, lim)
		s := newTestServer(b, lim, func(in *Incoming) { _ = in.Reply(nil, []byte("enough")) })
		if reply, err := c.roundTrip(t.Context(), make([]byte, size)); err != nil || string(reply) != "enough" {
			t.Errorf("got %q, %v", reply, err)
		}
		if n := moved.Load(); n > size/2 {
			t.Errorf("%d bytes were sent", n)
		}
		if reply, err := c.roundTrip(t.Context(), []byte("x")); err != nil || string(reply) != "enough" {
			t.Errorf("after it: %q, %v", reply, err)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// Small replies do not wait for a large one to be sent.
func TestLargeReplyDoesNotHoldUpSmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Message = 32 << 20
		large := make([]byte, 16<<20)
		a, b := newPipe(32 << 10)
		x, y := newPipe(32 << 10)
		go relay(y, a, func([]byte) error { return nil })
		go relay(a, y, func(b []byte) error { time.Sleep(time.Millisecond); return nil }) // 1 MiB a second
		c := newTestClient(x, lim)
		s := newTestServer(b, lim, func(in *Incoming) {
			if string(in.First()) == "large" {
				_ = in.Reply(nil, large)
				return
			}
			echo(in)
		})
		done := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			if b, err := c.roundTrip(t.Context(), []byte("large")); err != nil || len(b) != len(large) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			done <- time.Since(start)
		}()
		time.Sleep(time.Second)
		for range 20 {
			begin := time.Now()
			if _, err := c.roundTrip(t.Context(), []byte("small")); err != nil {
				t.Error(err)
			}
			// A batch or two, and what the pipes hold.
			if took := time.Since(begin); took > 300*time.Millisecond {
				t.Errorf("a small call takes %v", took)
			}
		}
		if took := <-done; took < 16*time.Second {
			t.Errorf("the large one took no more than %v", took)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// When a reply arrives, its call's place is free.
func TestPlaceIsFreeWhenTheReplyArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{1, 2 * FirstPiece} {
			hold := make(chan struct{})
			c, s := newSession(testLimits(), func(in *Incoming) {
				_ = in.Reply(make([]byte, size), nil)
				<-hold
			})
			if _, err := c.roundTrip(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if n := s.overed.Load(); n != 1 {
				t.Errorf("%d places are free", n)
			}
			close(hold)
			c.Close(ErrIdle)
			c.check(t)
			s.check(t)
		}
	})
}

// What is started is told of once, whatever comes first.
func TestStartedCallsAreToldOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c, s := newSession(testLimits(), func(in *Incoming) {
			<-release
			echo(in)
		})
		type end struct {
			reply string
			err   error
		}
		start := func(ctx context.Context, request string) <-chan end {
			told := make(chan end, 2)
			c.Start(ctx, &Request{Head: []byte(request), Code: nobody}, func(r Reply, err error) {
				if err != nil {
					told <- end{err: err}
					return
				}
				told <- end{reply: string(r.Bytes())}
				r.Release()
			})
			return told
		}
		ctx, cancel := context.WithCancel(t.Context())
		over, canceled := context.WithCancel(t.Context())
		canceled()
		answered, late := start(t.Context(), "answered"), start(ctx, "late")
		given, large := start(over, "given up"), start(t.Context(), strings.Repeat("large", 1<<16))
		synctest.Wait()
		if e := <-given; e.err != context.Canceled {
			t.Errorf("of an ended context: %+v", e)
		}
		cancel()
		if e := <-late; e.err != context.Canceled {
			t.Errorf("cancelled: %+v", e)
		}
		close(release)
		if e := <-answered; e.reply != "answered" || e.err != nil {
			t.Errorf("answered: %+v", e)
		}
		if e := <-large; len(e.reply) != 5<<16 || e.err != nil {
			t.Errorf("large: %d bytes, %v", len(e.reply), e.err)
		}
		c.Close(ErrIdle)
		var ended *EndedError
		if e := <-start(t.Context(), "too late"); !errors.As(e.err, &ended) || ended.Sent {
			t.Errorf("too late: %+v", e)
		}
		synctest.Wait()
		for _, told := range []<-chan end{answered, late, given, large} {
			if len(told) > 0 {
				t.Errorf("told twice: %+v", <-told)
			}
		}
		c.check(t)
		s.check(t)
	})
}

// A server that never has memory for a call is not asked for ever.
func TestCallThatIsAlwaysRefusedForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		c := newTestClient(a, testLimits())
		peer := newRaw(t, b)
		peer.send(settingsFrame())
		go func() { _, _ = c.roundTrip(t.Context(), []byte("held")) }()
		peer.expect(kindSettings)
		held := peer.expect(kindRequest)
		result := make(chan error, 1)
		go func() {
			_, err := c.roundTrip(t.Context(), []byte("starved"))
			result <- err
		}()
		requests := 0
		for over := false; !over; {
			f, err := peer.read()
			switch {
			case err != nil:
				t.Fatal(err)
			case f.kind == kindPing:
				peer.send(pingFrame(kindPong, string(f.body)))
			case f.kind == kindRequest:
				requests++
				peer.send(refuseFrame(f.id, refusedForMemory, "none"))
			}
			synctest.Wait()
			over = len(result) > 0
		}
		var refused *RefusedError
		if err := <-result; !errors.As(err, &refused) || requests != maxStarved+1 {
			t.Errorf("after %d requests: %v", requests, err)
		}
		peer.send(wholeReply(held.id, "x"))
		synctest.Wait()
		c.Close(ErrIdle)
		_ = b.Close()
		c.check(t)
	})
}
