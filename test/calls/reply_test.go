package calls_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestCallReturnsThoughItsMethodRunsOnAndItsReplyStaysUntouched(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for what, want := range map[string]error{"cancelled": context.Canceled, "late": context.DeadlineExceeded} {
			t.Run(tr.Name+"/"+what, func(t *testing.T) {
				t.Parallel()
				svc := rig.NewLingering()
				s := tr.With(t, svc, rig.Options{})
				ctx, cancel := context.WithCancel(rig.Context(t))
				if what == "late" {
					ctx, cancel = context.WithTimeout(ctx, rig.Slower(time.Second))
				}
				defer cancel()
				reply := []int{7}
				result := rig.InBackground(func() error {
					return s.Client.CallContext(ctx, s.Dest, "Svc", "Linger", struct{}{}, &reply)
				})
				rig.Take(t, "the method runs", svc.Started)
				if what == "cancelled" {
					cancel()
				}
				err := rig.Take(t, "the call returns", result)
				rig.CheckEnded(t, err, want, "Svc.Linger")
				reply[0]++ // -race sees whoever else touches it
				close(svc.Release)
				rig.Take(t, "the method has written", svc.Wrote)
				reply[0]++
				var n int
				if err := s.Client.Call(s.Dest, "Svc", "Quick", 3, &n); err != nil || n != 3 {
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
	s := rig.Wire.Setup(t, rig.Options{})
	if err := s.Server.RegisterName("Svc", manyHooked{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, n / 2, n - 1} {
		ctx, cancel := context.WithCancel(rig.Context(t))
		decodingHook = func(i int) {
			if i == at {
				cancel()
				<-ctx.Done()
				runtime.Gosched()
			}
		}
		reply := make([]hooked, 0, n)
		err := s.Client.CallContext(ctx, s.Dest, "Svc", "Many", n, &reply)
		if err != nil && !errors.Is(err, context.Canceled) || err == nil && len(reply) != n {
			t.Fatalf("%d items, %v", len(reply), err)
		}
		reply = reply[:n]
		for i := range reply {
			reply[i].N = -1 // -race sees whoever else touches it
		}
	}
}

// slowReply ends the call while it is decoded: into a value of the library's, to
// which the test can say nothing.
type slowReply struct {
	text    string
	decoded bool
}

var slowReplyCall struct {
	cancel   context.CancelFunc
	returned chan struct{}
}

func (s *slowReply) MarshalBinary() ([]byte, error) { return []byte("text"), nil }

func (s *slowReply) UnmarshalBinary(b []byte) error {
	slowReplyCall.cancel()
	select { // whoever decodes beside the caller is caught
	case <-slowReplyCall.returned:
	case <-time.After(200 * time.Millisecond):
	}
	s.text, s.decoded = string(b), true
	return nil
}

type slowReplies struct{}

func (slowReplies) Get(_ context.Context, _ struct{}, r *slowReply) error { return nil }

func TestReplyIsUntouchedAfterTheReturnThoughCancelledWhileDecoding(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, slowReplies{})
	c := rig.Wire.Client(t, a)
	ctx, cancel := context.WithCancel(rig.Context(t))
	defer cancel()
	returned := make(chan struct{})
	slowReplyCall.cancel, slowReplyCall.returned = cancel, returned
	var reply slowReply
	err := c.CallContext(ctx, b.ID(), "Svc", "Get", struct{}{}, &reply)
	close(returned)
	if !reply.decoded || reply.text != "text" { // and the race detector looks on
		t.Errorf("the reply is still decoded after the call's return with %v", err)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
