package sessions_test

import (
	"context"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// deadlines tells the deadline that its methods have.
type deadlines struct{}

func (deadlines) Unary(ctx context.Context, _ []byte, d *time.Time) error {
	*d, _ = ctx.Deadline()
	return nil
}

func (deadlines) Stream(ctx context.Context, _ <-chan []byte, out chan<- time.Time) error {
	defer close(out)
	d, _ := ctx.Deadline()
	out <- d
	return nil
}

// TestDeadlineOfACallThatWaits: the time that a call has waited for its place is not
// given to its method.
func TestDeadlineOfACallThatWaits(t *testing.T) {
	t.Parallel()
	blocker := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
	s := rig.Session.With(t, blocker, rig.Options{Server: []rpc.ServerOption{rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1})}})
	if err := s.Server.RegisterName("Deadlines", deadlines{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(rig.Context(t), rig.Slower(20*time.Second))
	defer cancel()
	typed := rpc.NewMethod[[]byte, time.Time]("Deadlines", "Unary")
	var first time.Time // opens the session
	if err := s.Client.CallContext(ctx, s.Dest, "Deadlines", "Unary", []byte{1}, &first); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() (time.Time, error){
		"by name": func() (d time.Time, err error) {
			return d, s.Client.CallContext(ctx, s.Dest, "Deadlines", "Unary", []byte{1}, &d)
		},
		"typed": func() (time.Time, error) { return typed.Call(ctx, s.Client, s.Dest, []byte{1}) },
		"large": func() (time.Time, error) { return typed.Call(ctx, s.Client, s.Dest, make([]byte, 1<<20)) },
		"with metadata": func() (time.Time, error) {
			return typed.Call(rpc.AppendMetadata(ctx, "Timeout", "Timeout"), s.Client, s.Dest, []byte{1})
		},
		"stream": func() (d time.Time, err error) {
			args, replies := make(chan []byte), make(chan time.Time, 1)
			close(args)
			err = s.Client.Stream(ctx, s.Dest, "Deadlines", "Stream", args, replies)
			return <-replies, err
		},
		"typed stream": func() (d time.Time, err error) {
			for d, err = range rpc.NewServerStream[[]byte, time.Time]("Deadlines", "Stream").Call(ctx, s.Client, s.Dest, []byte{1}) {
			}
			return d, err
		},
	}
	held := rig.Slower(2 * time.Second)
	hold, cancel := context.WithTimeout(ctx, held)
	defer cancel()
	go func() { _ = s.Client.CallContext(hold, s.Dest, "Svc", "Block", struct{}{}, new(int)) }()
	rig.Take(t, "the place is taken", blocker.Started)
	want, _ := ctx.Deadline()
	type result struct {
		name string
		d    time.Time
		err  error
	}
	results := make(chan result, len(calls))
	for name, call := range calls {
		go func() {
			d, err := call()
			results <- result{name, d, err}
		}()
	}
	for range calls {
		if r := rig.Take(t, "a call ends", results); r.err != nil || r.d.Sub(want) > held*3/4 || want.Sub(r.d) > held*3/4 {
			t.Errorf("%s: the method's deadline is %v after the caller's, %v", r.name, r.d.Sub(want), r.err)
		}
	}
}
