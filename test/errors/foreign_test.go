package errors_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// lateError is how libp2p, and net, tell of time-outs of their own.
type lateError struct{ err error }

func (e *lateError) Error() string { return "too late: " + e.err.Error() }
func (e *lateError) Unwrap() error { return e.err }

// lateNet is as net's, which is a context's error without wrapping one.
type lateNet struct{}

func (lateNet) Error() string        { return "i/o timeout" }
func (lateNet) Is(target error) bool { return target == context.DeadlineExceeded }
func (lateNet) Timeout() bool        { return true }
func (lateNet) Temporary() bool      { return true }

var errBelow = errors.New("below")

// timeouts are errors of libp2p's, each with a lateError and errBelow in it.
var timeouts = map[string]error{
	"wrapped":   fmt.Errorf("%w: %w", errBelow, &lateError{context.DeadlineExceeded}),
	"joined":    errors.Join(errBelow, fmt.Errorf("dial: %w", &lateError{context.DeadlineExceeded})),
	"net":       fmt.Errorf("%w: %w", errBelow, &lateError{&net.OpError{Op: "dial", Err: lateNet{}}}),
	"cancelled": fmt.Errorf("%w: %w", errBelow, &lateError{context.Canceled}),
}

// checkForeign checks that the time-out of libp2p's is all in err, but for what
// it would say of the caller's context.
func checkForeign(t *testing.T, what string, err, below error) {
	t.Helper()
	ended := func(err error) bool {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	}
	var late *lateError
	var dial *rpc.DialError
	var broke *rpc.TransportError
	var timeout net.Error
	switch {
	case ended(err):
		t.Errorf("%s: the caller's context seems to have ended: %v", what, err)
	case rpc.CodeOf(err) != codes.Unavailable:
		t.Errorf("%s: %v: %v", what, rpc.CodeOf(err), err)
	case !errors.Is(err, errBelow) || !errors.As(err, &late):
		t.Errorf("%s: the cause is not in %v", what, err)
	case errors.As(err, &timeout) && (timeout == context.DeadlineExceeded || timeout == error(lateNet{})):
		t.Errorf("%s: %v has the context's error in it", what, err)
	case errors.As(err, &dial):
		if ended(dial) || ended(dial.Err) || dial.Err.Error() != below.Error() {
			t.Errorf("%s: the cause is %v", what, dial.Err)
		}
	case errors.As(err, &broke):
		if ended(broke) || ended(broke.Err) {
			t.Errorf("%s: the cause is %v", what, broke.Err)
		}
	default:
		t.Errorf("%s: neither a DialError nor a TransportError: %v", what, err)
	}
	rig.CheckNames(t, err, "too late: ")
}

// failingHost opens streams that fail, or none.
type failingHost struct {
	host.Host
	dial, read error
}

func (h failingHost) NewStream(ctx context.Context, p peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	if h.dial != nil {
		return nil, h.dial
	}
	st, err := h.Host.NewStream(ctx, p, protocols...)
	if err != nil {
		return nil, err
	}
	return failingStream{st, h.read}, nil
}

type failingStream struct {
	network.Stream
	err error
}

func (s failingStream) Read([]byte) (int, error) { return 0, s.err }

func TestTimeoutsOfLibp2psAreNotTheCallers(t *testing.T) {
	t.Parallel()
	one, many := rpc.NewMethod[int, int]("Svc", "One"), rpc.NewServerStream[int, int]("Svc", "Many")
	calls := map[string]func(ctx context.Context, s rig.Setup) error{
		"typed": func(ctx context.Context, s rig.Setup) error {
			_, err := one.Call(ctx, s.Client, s.Dest, 1)
			return err
		},
		"retried": func(ctx context.Context, s rig.Setup) error {
			_, err := one.Call(ctx, s.Client, s.Dest, 1, rpc.CallIdempotent(true), rpc.CallRetry(rpc.RetryPolicy{Attempts: 2, Backoff: time.Millisecond}))
			return err
		},
		"typed stream": func(ctx context.Context, s rig.Setup) error {
			for _, err := range many.Call(ctx, s.Client, s.Dest, 1) {
				return err
			}
			return nil
		},
		"fan-out": func(ctx context.Context, s rig.Setup) error {
			_, err := one.CollectAll(ctx, s.Client, []peer.ID{s.Dest}, 1)
			return errors.Unwrap(onlyOne{err})
		},
	}
	for name, call := range callsByName {
		calls[name] = func(ctx context.Context, s rig.Setup) error { return call(ctx, s)[0] }
	}
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		rig.Serve(t, b, waits{make(chan struct{}, 100)})
		for what, below := range timeouts {
			for _, h := range []failingHost{{a, below, nil}, {a, nil, below}} {
				s := rig.Setup{Client: tr.Client(t, h), Dest: b.ID()}
				for name, call := range calls {
					for _, ctx := range []context.Context{context.Background(), rig.Context(t)} {
						checkForeign(t, what+"/"+name, call(ctx, s), below)
					}
				}
			}
		}
	})
}

// onlyOne unwraps an error that joins one.
type onlyOne struct{ error }

func (o onlyOne) Unwrap() error {
	if joined, ok := o.error.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) == 1 {
		return joined.Unwrap()[0]
	}
	return o.error
}

// handlingHost serves streams that fail once something has been read.
type handlingHost struct {
	host.Host
	err error
}

func (h handlingHost) SetStreamHandler(p protocol.ID, handler network.StreamHandler) {
	h.Host.SetStreamHandler(p, func(st network.Stream) { handler(&cutStream{Stream: st, err: h.err}) })
}

type cutStream struct {
	network.Stream
	err  error
	read bool
}

func (s *cutStream) Read(b []byte) (int, error) {
	if s.read {
		return 0, s.err
	}
	s.read = true
	return s.Stream.Read(b)
}

func TestTimeoutsOfLibp2psAreNotTheMethods(t *testing.T) {
	t.Parallel()
	talk := rpc.NewDuplex[int, int]("Typed", "Talk")
	for what, below := range timeouts {
		a, b := rig.NewHosts(t)
		got := make(chan error, 2)
		s := rig.NewServer(t, handlingHost{b, below})
		if err := talk.Handle(s, func(ctx context.Context, in *rpc.Receiver[int], _ *rpc.Sender[int]) error {
			for {
				if _, err := in.Receive(ctx); err != nil {
					got <- err
					got <- context.Cause(ctx)
					return err
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		c := rig.Client(t, a)
		call := talk.Open(rig.Context(t), c, b.ID())
		for range 2 {
			// The caller has gone, as far as the method can tell.
			if err := rig.Take(t, "the method is told", got); errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errBelow) {
				t.Errorf("%s: the method got %v", what, err)
			}
		}
		_ = call.Close()
	}
}
