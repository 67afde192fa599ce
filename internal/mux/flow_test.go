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

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// give gives b in pieces of at most n bytes.
func give(f *Flow, b []byte, n int) error {
	for len(b) > 0 {
		n := min(n, len(b))
		if _, err := f.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// openFlow opens a streaming call whose first bytes are "head".
func openFlow(t testing.TB, c *testClient) *ClientFlow {
	t.Helper()
	f, err := c.Open(append(make([]byte, 0, 8), "head"...), 4, Deadline{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// echoFlow sends back what comes until a zero byte has.
func echoFlow(in *Incoming) {
	in.Flow.Skip(4)
	buf := make([]byte, 10_000)
	for {
		n, err := in.Flow.Read(buf)
		if err != nil {
			return
		}
		if _, err = in.Flow.Write(buf[:n]); err != nil {
			return
		}
		if buf[n-1] == 0 {
			_ = in.Flow.Give([]byte("end"), false, true)
			return
		}
	}
}

func TestStreamsOfEverySizeArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSession(testLimits(), echoFlow)
		var calls sync.WaitGroup
		for _, size := range []int{1, 100, 1 << 10, 10_000, FirstPiece, 100_000, 3 << 20} {
			for _, piece := range []int{1 << 10, 64 << 10} {
				calls.Go(func() {
					f := openFlow(t, c)
					defer f.Close()
					sent := bytes.Repeat([]byte{1, 2, 3}, size)[:size]
					sent[size-1] = 0
					go func() {
						if err := give(&f.Flow, sent, piece); err != nil {
							t.Error(err)
						}
					}()
					got, err := io.ReadAll(f)
					if err != nil || !bytes.Equal(got, append(sent[:size:size], "end"...)) {
						t.Errorf("of %d bytes %d came back, %v", size, len(got), err)
					}
				})
			}
		}
		calls.Wait()
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// Of a stream that nobody reads its window is held, and all others go on.
func TestStreamThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Progress = 0
		wrote := make(chan int, 2)
		c, s := newSession(lim, func(in *Incoming) {
			if in.Flow == nil {
				echo(in)
				return
			}
			n := 0
			for in.Flow.outErr == nil {
				if _, err := in.Flow.Write(make([]byte, 1<<10)); err == nil {
					n++
				}
			}
			wrote <- n << 10
		})
		f := openFlow(t, c)
		synctest.Wait()
		for range 100 {
			if _, err := c.roundTrip(context.Background(), make([]byte, 100_000)); err != nil {
				t.Fatal(err)
			}
		}
		c.mu.Lock()
		held, window := f.in.n, f.window
		c.mu.Unlock()
		if held > window || window > 64<<10 {
			t.Errorf("%d bytes are held, in a window of %d", held, window)
		}
		f.Close()
		if n := <-wrote; n > held+mostQueued+1<<10 {
			t.Errorf("the sender sent %d bytes, and %d were let come", n, held)
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

func TestStreamEndsWithItsCall(t *testing.T) {
	gone := errors.New("gone")
	for name, end := range map[string]func(*testClient, *testServer, *ClientFlow){
		"cancelled":        func(_ *testClient, _ *testServer, f *ClientFlow) { f.Cancel(canceled) },
		"client's session": func(c *testClient, _ *testServer, _ *ClientFlow) { c.Client.Close(gone) },
		"server's session": func(_ *testClient, s *testServer, _ *ClientFlow) { s.Server.Close(gone) },
	} {
		for when, send := range map[string]func(*Flow) error{
			"amid":           func(f *Flow) error { return give(f, make([]byte, 1<<20), 1<<10) },
			"before its end": func(f *Flow) error { return f.Give(make([]byte, 1<<20), false, true) },
		} {
			t.Run(name+"/"+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					told := make(chan error, 2)
					c, s := newSession(testLimits(), func(in *Incoming) {
						in.Flow.Skip(4)
						go func() {
							_, err := io.ReadAll(in.Flow)
							told <- err
						}()
						told <- send(in.Flow)
					})
					f := openFlow(t, c)
					sent := make(chan error)
					go func() { sent <- give(&f.Flow, make([]byte, 1<<20), 1<<10) }()
					synctest.Wait()
					end(c, s, f)
					for range 2 {
						if err := <-told; err == nil {
							t.Error("the server's side has not ended")
						}
					}
					<-sent
					if _, err := io.ReadAll(f); err == nil {
						t.Error("the client's side ended well")
					}
					f.Close()
					c.Close(ErrIdle)
					c.check(t)
					s.check(t)
				})
			})
		}
	}
}

// A server reads the first bytes while the call may be cancelled.
func TestFirstBytesOfAStreamStayUntilTheyAreRead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a buffer given back is the next to be had
	for name, read := range map[string]func(*Flow){
		"skipped":    func(f *Flow) { f.Skip(1000) },
		"read":       func(f *Flow) { _, _ = io.ReadAll(f) },
		"not at all": func(*Flow) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				readOn, end := make(chan bool), make(chan bool)
				c, s := newSession(testLimits(), func(in *Incoming) {
					if in.First()[0] != 1 {
						<-end
						return
					}
					<-readOn
					if want := bytes.Repeat([]byte{1}, 1000); !bytes.Equal(in.First(), want) {
						t.Errorf("%d of the bytes are another call's", 1000-bytes.Count(in.First(), []byte{1}))
					}
					read(in.Flow)
				})
				open := func(b byte) *ClientFlow {
					f, err := c.Open(slices.Clip(bytes.Repeat([]byte{b}, 1000)), 1000, Deadline{})
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					return f
				}
				cancelled := open(1)
				cancelled.Cancel(canceled)
				synctest.Wait()
				var others []*ClientFlow
				for range 50 {
					others = append(others, open(2))
				}
				readOn <- true
				synctest.Wait()
				close(end)
				for _, f := range append(others, cancelled) {
					f.Close()
				}
				c.Close(ErrIdle)
				c.check(t)
				s.check(t)
			})
		})
	}
}

// A writer that is granted nothing for too long ends.
func TestStreamThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := make(chan error, 1)
		c, s := newSession(testLimits(), func(in *Incoming) { stalled <- give(in.Flow, make([]byte, 1<<20), 1<<10) })
		start := time.Now()
		f := openFlow(t, c)
		if err := <-stalled; !errors.Is(err, ErrStalled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took < 20*time.Second || took > 45*time.Second {
			t.Errorf("after %v", took)
		}
		synctest.Wait()
		if _, err := io.ReadAll(f); !errors.As(err, new(*AbortedError)) {
			t.Errorf("the client got %v", err)
		}
		f.Close()
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}

// A call that was not looked at can be sent elsewhere, with all that was given.
func TestStreamThatWasNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		c := newTestClient(a, testLimits())
		r := newRaw(t, b)
		r.send(settingsFrame())
		r.expect(kindSettings)
		f := openFlow(t, c)
		r.expect(kindOpen)
		if err := give(&f.Flow, []byte("more"), 1); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			r.expect(kindBytes)
		}
		r.send(refuseFrame(1, refusedForNow, "busy"))
		again := r.expect(kindOpen)
		if again.id != 2 || string(again.body) != "headmore" {
			t.Errorf("call %d was opened with %q", again.id, again.body)
		}
		r.send(goAwayFrame(1, 0, "go"))
		_, err := f.Read(make([]byte, 1))
		var ended *EndedError
		if !errors.As(err, &ended) || ended.Sent {
			t.Errorf("got %v", err)
		}
		mine := account.NewBuffer(1 << 12)
		if err := f.Give(mine, true, false); !errors.As(err, &ended) || ended.Sent {
			t.Errorf("got %v", err)
		}
		if others := account.NewBuffer(1 << 12); &others[0] == &mine[0] {
			t.Error("what is to be given to another session was freed")
		}
		if b := f.Unsent(); string(b) != "headmore" {
			t.Errorf("%q is to be sent again", b)
		}
		f.Close()
		c.Close(ErrIdle)
		c.check(t)
		_ = b.Reset()
	})
}

func TestManyStreamsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := testLimits()
		lim.Calls = 1 << 14
		const n = 2_000
		c, s := newSession(lim, func(in *Incoming) {
			in.Flow.CloseRead()
			gone := make(chan struct{})
			in.OnCancel(func(uint64, error) { close(gone) })
			_, _ = in.Flow.Write([]byte("x"))
			<-gone
		})
		var all []*ClientFlow
		for range n {
			all = append(all, openFlow(t, c))
		}
		for i, f := range all {
			if _, err := io.ReadFull(f, make([]byte, 1)); err != nil {
				t.Fatal(fmt.Errorf("stream %d: %w", i, err))
			}
		}
		if c.account.Used() > 6<<20 || s.account.Used() > 64<<10 {
			t.Errorf("the client holds %d bytes, the server %d", c.account.Used(), s.account.Used())
		}
		for _, f := range all {
			f.Close()
		}
		synctest.Wait()
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}
