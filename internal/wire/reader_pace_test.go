package wire_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// next runs Next and says how long it took, by a bubble's clock.
func next(st wire.Stream, stall time.Duration, pace wire.Pace) (v []byte, took time.Duration, err error) {
	var r wire.Reader
	r.Init(st, &memory{}, stall)
	defer r.Close()
	start := time.Now()
	v, err = r.Next(production, pace)
	return bytes.Clone(v), time.Since(start), err
}

// feed sends b a byte at a time, each after the pause, until the reader stops.
func feed(s *slow, b []byte, pause time.Duration, stopped <-chan struct{}) {
	for _, c := range b {
		select {
		case <-time.After(pause):
		case <-stopped:
			return
		}
		select {
		case s.in <- []byte{c}:
		case <-stopped:
			return
		}
	}
}

func TestReaderPace(t *testing.T) {
	t.Parallel()
	const stall = 10 * time.Second
	value := unhex("8f", fill(1, 30))
	for _, tt := range []struct {
		name  string
		pace  wire.Pace
		stall time.Duration
		send  []byte
		pause time.Duration // before each byte
		err   error
		took  time.Duration
	}{
		{"idle, then a value", wire.PaceValue, stall, unhex("07"), time.Hour, nil, time.Hour},
		{"part of a value", wire.PaceValue, stall, value[:1], time.Hour, wire.ErrStalled, time.Hour + stall},
		{"more of a value", wire.PaceValue, stall, value[:5], stall - 1, wire.ErrStalled, 5*(stall-1) + stall},
		{"slow, but moving", wire.PaceValue, stall, value, stall - 1, nil, 31 * (stall - 1)},
		{"nothing", wire.PaceAll, stall, nil, 0, wire.ErrStalled, stall},
		{"too late", wire.PaceAll, stall, value, stall + 1, wire.ErrStalled, stall},
		{"slow, but moving, from the start", wire.PaceAll, stall, value, stall - 1, nil, 31 * (stall - 1)},
		{"nobody watches", wire.PaceNone, stall, value, time.Hour, nil, 31 * time.Hour},
		{"time without end", wire.PaceAll, 0, value, time.Hour, nil, 31 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, stopped := newSlow(), make(chan struct{})
				go feed(s, tt.send, tt.pause, stopped)
				v, took, err := next(s, tt.stall, tt.pace)
				close(stopped)
				if !errors.Is(err, tt.err) || took != tt.took || err == nil && !bytes.Equal(v, tt.send) {
					t.Errorf("%x, %v after %v; want %v after %v", v, err, took, tt.err, tt.took)
				}
				<-time.After(24 * time.Hour)
				if reads, writes := s.deadlines(); writes != 0 || reads > 1 || (reads == 1) != (tt.err != nil) {
					t.Errorf("%d deadlines were set for reads, %d for writes", reads, writes)
				}
			})
		})
	}
}

// A reader that has given up does not begin to wait anew.
func TestReaderStaysStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r wire.Reader
		r.Init(newSlow(), &memory{}, time.Second)
		defer r.Close()
		for range 3 {
			start := time.Now()
			if _, err := r.Next(production, wire.PaceAll); !errors.Is(err, wire.ErrStalled) || time.Since(start) > time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
		if r.Unwatch() {
			t.Error("it was in time")
		}
	})
}

// Watch is for all that is read: a byte now and then does not help.
func TestReaderWatch(t *testing.T) {
	t.Parallel()
	const bound = 10 * time.Second
	for _, tt := range []struct {
		name   string
		pause  time.Duration
		inTime bool
	}{
		{"in time", bound/32 - 1, true},
		{"drop by drop", bound / 10, false},
		{"silent", time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, stopped := newSlow(), make(chan struct{})
				go feed(s, unhex("8f", fill(1, 30)), tt.pause, stopped)
				var r wire.Reader
				r.Init(s, &memory{}, time.Nanosecond) // not what counts
				defer r.Close()
				start := time.Now()
				r.Watch(bound)
				_, err := r.Next(production, wire.PaceNone)
				took := time.Since(start)
				close(stopped)
				if in := r.Unwatch(); in != tt.inTime || in != (err == nil) || !in && (took != bound || !errors.Is(err, os.ErrDeadlineExceeded)) {
					t.Errorf("in time: %v, %v after %v", in, err, took)
				}
				<-time.After(time.Hour)
				if reads, _ := s.deadlines(); (reads == 0) != tt.inTime {
					t.Errorf("%d deadlines were set", reads)
				}
			})
		})
	}
}
