package mux

import (
	"errors"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// A server that has sent something of a stream has seen it, whatever it says later: the
// client has nothing left that it could send again.
func TestStreamThatTheServerHasSeenWasSent(t *testing.T) {
	for name, end := range map[string]func(*raw){
		"it goes away":     func(r *raw) { r.send(goAwayFrame(0, 0, "go")) },
		"its session ends": func(r *raw) { _ = r.st.Reset() },
		"it refuses":       func(r *raw) { r.send(refuseFrame(1, refusedForNow, "busy")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipe(1 << 16)
				c := newTestClient(a, testLimits())
				r := newRaw(t, b)
				r.send(settingsFrame())
				r.expect(kindSettings)
				f := openFlow(t, c)
				r.expect(kindOpen)
				r.send(appendFrame(nil, kindGrant, []uint64{1, 1}))
				synctest.Wait()
				end(r)
				_, err := io.ReadAll(f)
				if ended := new(EndedError); errors.As(err, &ended) && !ended.Sent || err == nil {
					t.Errorf("got %v", err)
				}
				if b := f.Unsent(); len(b) > 0 {
					t.Errorf("%q is to be sent again", b)
				}
				f.Close()
				c.Close(ErrIdle)
				c.check(t)
				_ = b.Reset()
			})
		})
	}
}

// What is sent of a stream is kept until the server shows that it has seen the call: the
// window bounds it, whatever the server's settings say.
func TestWindowOfAServerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		lim := testLimits()
		lim.Progress = 0
		c := newTestClient(a, lim)
		r := newRaw(t, b)
		r.send(settingsFrame(settingWindow, math.MaxInt32))
		r.expect(kindSettings)
		synctest.Wait()
		f := openFlow(t, c)
		got := 0
		go func() {
			for {
				fr, err := r.read()
				if err != nil {
					return
				}
				switch fr.kind {
				case kindPing:
					r.send(pingFrame(kindPong, string(fr.body)))
				case kindOpen, kindBytes:
					got += len(fr.body)
				}
			}
		}()
		done := make(chan error, 1)
		go func() { done <- give(&f.Flow, make([]byte, 16<<20), 64<<10) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if most := mostWindow + 4; got > most || got < mostWindow/2 {
			t.Errorf("%d bytes have come, and %d may", got, most)
		}
		f.Close()
		if err := <-done; err == nil {
			t.Error("all was given")
		}
		c.Close(ErrIdle)
		c.check(t)
		_ = b.Reset()
	})
}

// Leave for no bytes is no progress.
func TestStreamThatIsGrantedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 16)
		stalled := make(chan error, 1)
		s := newTestServer(b, testLimits(), func(in *Incoming) { stalled <- give(in.Flow, make([]byte, 1<<20), 1<<10) })
		r := newRaw(t, a)
		r.send(settingsFrame(), openFrame(1, leastWindow, "head"))
		go func() {
			for {
				fr, err := r.read()
				if err != nil {
					return
				}
				if fr.kind == kindPing {
					r.send(pingFrame(kindPong, string(fr.body)))
				}
			}
		}()
		begun := time.Now()
		for range 20 {
			time.Sleep(5 * time.Second)
			r.send(appendFrame(nil, kindGrant, []uint64{1, 0}))
		}
		select {
		case err := <-stalled:
			if !errors.Is(err, ErrStalled) {
				t.Errorf("got %v", err)
			}
		default:
			t.Errorf("it waits after %v", time.Since(begun))
		}
		s.Close(ErrIdle)
		s.check(t)
		_ = a.Reset()
	})
}

// A client that always leaves something for the server to send does not keep a session
// that is going away.
func TestSessionThatGoesAwayIsNotKeptByPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe(1 << 12)
		s := newTestServer(b, testLimits(), echo)
		r := newRaw(t, a)
		ping := func() { r.send(pingFrame(kindPing, "12345678")) }
		r.send(settingsFrame())
		for range 2000 { // more pongs than the pipe holds
			ping()
		}
		synctest.Wait()
		s.GoAway(14, "away")
		begun := time.Now()
		for s.fate.times.Load() == 0 && time.Since(begun) < time.Minute {
			time.Sleep(100 * time.Millisecond)
			for range 5 {
				if _, err := r.read(); err != nil {
					break
				}
			}
			if _, err := a.Write(pingFrame(kindPing, "12345678")); err != nil {
				break
			}
			for range 4 {
				_, _ = a.Write(pingFrame(kindPing, "12345678"))
			}
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("it has ended after %v", took)
		}
		_ = a.Reset()
		s.check(t)
	})
}
