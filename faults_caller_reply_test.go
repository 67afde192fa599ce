package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// lingering heeds no context, and writes its reply when nobody waits for it.
type lingering struct {
	started, release, wrote chan struct{}
}

func newLingering() *lingering {
	return &lingering{make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100)}
}

func (l *lingering) Linger(_ context.Context, _ struct{}, reply *[]int) error {
	l.started <- struct{}{}
	<-l.release
	*reply = []int{42}
	l.wrote <- struct{}{}
	return nil
}

func (l *lingering) Quick(_ context.Context, n int, reply *int) error {
	*reply = n
	return nil
}

func TestCallReturnsThoughItsMethodRunsOnAndItsReplyStaysUntouched(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		for what, want := range map[string]error{"cancelled": context.Canceled, "late": context.DeadlineExceeded} {
			t.Run(tr.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				svc := newLingering()
				s := tr.setup(t, options{})
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(testContext(t))
				if what == "late" {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				reply := []int{7}
				result := inBackground(func() error {
					return s.client.CallContext(ctx, s.dest, "Svc", "Linger", struct{}{}, &reply)
				})
				take(t, "the method runs", svc.started)
				if what == "cancelled" {
					cancel()
				}
				err := take(t, "the call returns", result)
				checkEnded(t, err, want, "Svc.Linger")
				reply[0]++ // -race sees whoever else touches it
				close(svc.release)
				take(t, "the method has written", svc.wrote)
				reply[0]++
				var n int
				if err := s.client.Call(s.dest, "Svc", "Quick", 3, &n); err != nil || n != 3 {
					t.Errorf("the next call: %d, %v", n, err)
				}
				if len(reply) != 1 || reply[0] != 9 {
					t.Errorf("the reply became %v", reply)
				}
			})
		}
	}
}

// decodingHook is called as hooked values are decoded, by their number.
var decodingHook func(n int)

type hooked struct{ N int }

func (h hooked) MarshalBinary() ([]byte, error) { return fmt.Append(nil, h.N), nil }

func (h *hooked) UnmarshalBinary(b []byte) error {
	_, err := fmt.Sscan(string(b), &h.N)
	decodingHook(h.N)
	return err
}

type manyHooked struct{}

func (manyHooked) Many(_ context.Context, n int, reply *[]hooked) error {
	for i := range n {
		*reply = append(*reply, hooked{i})
	}
	return nil
}

// Not parallel: the hook is everybody's.
func TestReplyIsUntouchedAfterACallThatEndsWhileItIsDecoded(t *testing.T) {
	const n = 1000
	s := transports[1].setup(t, options{})
	if err := s.server.RegisterName("Svc", manyHooked{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, n / 2, n - 1} {
		ctx, cancel := context.WithCancel(testContext(t))
		decodingHook = func(i int) {
			if i == at {
				cancel()
				<-ctx.Done()
				runtime.Gosched()
			}
		}
		reply := make([]hooked, 0, n)
		err := s.client.CallContext(ctx, s.dest, "Svc", "Many", n, &reply)
		if err != nil && !errors.Is(err, context.Canceled) || err == nil && len(reply) != n {
			t.Fatalf("%d items, %v", len(reply), err)
		}
		reply = reply[:n]
		for i := range reply {
			reply[i].N = -1 // -race sees whoever else touches it
		}
	}
}
