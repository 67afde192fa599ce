package limits_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const (
	littleSize = 1 << 20
	// manyLittle of littleSize are more than libp2p grants littleMemory and the
	// library lends: some wait.
	manyLittle = 24
)

// littleMemory grants all streams of a peer the memory of one message.
var littleMemory = rcmgr.PartialLimitConfig{
	ProtocolPeer: forBoth(rcmgr.ResourceLimits{Memory: littleSize + 64<<10}),
}

var littleMessages = rpc.Limits{MessageSize: littleSize + 64}

// Messages that wait for one another's memory all arrive, whichever is whole
// first, and small ones pass by. Not parallel, for it looks at all goroutines.
func TestMessagesWaitForMemory(t *testing.T) {
	a, b := rig.NewHost(t), rig.LimitedHost(t, littleMemory)
	rig.Connect(t, a, b)
	rig.Serve(t, b, Echoes{}, rpc.WithServerLimits(littleMessages))
	data := bytes.Repeat([]byte{7}, littleSize)
	encoded := rig.PlainBytes(data)
	const last = 200 << 10
	rest := make(chan struct{})
	results := make(chan error, manyLittle)
	for range manyLittle {
		c, err := rig.PlainClient(rig.Context(t), a, b.ID(), "Svc", "First")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			err := c.Send(encoded[:littleSize-last])
			<-rest
			if err == nil {
				err = c.Send(encoded[littleSize-last:])
			}
			var out []byte
			if err == nil {
				out, err = c.Reply()
			}
			if err == nil && !bytes.Equal(out, data[:1]) {
				err = fmt.Errorf("%d bytes came back", len(out))
			}
			results <- err
		}()
	}
	rig.Eventually(t, "some wait for memory", func() bool { return waitForMemory() > manyLittle/4 })
	for _, tr := range rig.Transports[1:] {
		c := tr.Client(t, a)
		rig.Multiplies(t, c, b.ID())
		_ = c.Close()
	}
	close(rest)
	for range manyLittle {
		if err := rig.Take(t, "a call ends", results); err != nil {
			t.Error(err)
		}
	}
	rig.Released(t, b)
}

// takes tells of each item that it takes.
type takes struct{ taken chan int }

func (s takes) All(_ context.Context, in <-chan []byte, _ chan<- []byte) error {
	for b := range in {
		s.taken <- len(b)
	}
	return nil
}

// A stream whose last item has been taken holds up no other's.
func TestIdleStreamsHoldNoMemoryThatOthersWaitFor(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHost(t), rig.LimitedHost(t, littleMemory)
	rig.Connect(t, a, b)
	svc := takes{make(chan int, manyLittle)}
	rig.Serve(t, b, svc, rpc.WithServerLimits(littleMessages))
	encoded := rig.PlainBytes(make([]byte, littleSize))
	var calls []*rig.PlainCall
	for range manyLittle {
		c, err := rig.PlainClient(rig.Context(t), a, b.ID(), "Svc", "All")
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, c)
		go func() { _ = c.Send(encoded) }() // and the arguments do not end
	}
	for range manyLittle {
		if n := rig.Take(t, "an item is taken", svc.taken); n != littleSize {
			t.Errorf("an item of %d bytes", n)
		}
	}
	for _, c := range calls {
		c.Reset()
	}
	rig.Released(t, b)
}

// waitForMemory is how many messages do.
func waitForMemory() (n int) {
	for _, stack := range rig.LibraryGoroutines() {
		if strings.Contains(stack, "account.(*Peers).wait(") {
			n++
		}
	}
	return n
}

// A call that waits for memory ends with its context, and with its client. Not
// parallel, for it looks at all goroutines.
func TestWaitForMemoryEndsWithTheCall(t *testing.T) {
	for _, end := range []string{"context", "client", "server"} {
		t.Run(end, func(t *testing.T) {
			a, b := rig.LimitedHost(t, littleMemory), rig.NewHost(t)
			rig.Connect(t, a, b)
			b.SetStreamHandler(rig.Protocol, func(st network.Stream) {
				_, _ = st.Write(rig.Cat("\x80", string(rig.PlainBytes(make([]byte, littleSize)))[:littleSize-200<<10]))
				_, _ = io.Copy(io.Discard, st) // and no more of it comes
			})
			c := rig.Wire.Client(t, a, rpc.WithClientLimits(littleMessages))
			ctx, cancel := context.WithCancel(rig.Context(t))
			defer cancel()
			results := make(chan error, manyLittle)
			for range manyLittle {
				go func() {
					var reply []byte
					results <- c.CallContext(ctx, b.ID(), "Svc", "Bytes", 1, &reply)
				}()
			}
			rig.Eventually(t, "some wait for memory", func() bool { return waitForMemory() > manyLittle/4 })
			switch end {
			case "context":
				cancel()
			case "client":
				_ = c.Close()
			case "server":
				_ = b.Close()
			}
			for range manyLittle {
				err := rig.Take(t, "the call ends", results)
				if end == "context" && !errors.Is(err, context.Canceled) || err == nil {
					t.Errorf("a call ends with %v", err)
				}
			}
			rig.Released(t, a)
		})
	}
}

// An argument that waits for memory waits no longer than its method has time, though
// those that have the memory do nothing. Not parallel, for it looks at all goroutines.
func TestArgumentWaitsForMemoryUntilItsDeadline(t *testing.T) {
	a, b := rig.NewHost(t), rig.LimitedHost(t, littleMemory)
	rig.Connect(t, a, b)
	told := ends{make(chan error, manyLittle)}
	limits := littleMessages
	limits.ProgressTimeout = time.Hour
	rig.Serve(t, b, Echoes{}, rpc.WithServerLimits(limits),
		rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{Timeout: time.Second}),
		rpc.WithServerStatsHandler(told))
	encoded := rig.PlainBytes(make([]byte, littleSize))
	for range manyLittle {
		c, err := rig.PlainClient(rig.Context(t), a, b.ID(), "Svc", "First")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Reset()
		go func() { _ = c.Send(encoded[:littleSize-200<<10]) }()
	}
	rig.Eventually(t, "some wait for memory", func() bool { return waitForMemory() > 0 })
	rig.Eventually(t, "none does", func() bool { return waitForMemory() == 0 })
	if err := rig.Take(t, "a call ends", told.errs); err == nil || !strings.Contains(err.Error(), "the argument has not arrived: context deadline exceeded") {
		t.Errorf("it ends with %v", err)
	}
}

// A message that libp2p would grant no memory if there were no other is an error
// that names the limit, and that a retry would meet again.
func TestTooLargeForMemory(t *testing.T) {
	t.Parallel()
	little := rcmgr.ResourceLimits{Memory: littleSize}
	for name, c := range map[string]struct {
		limits rcmgr.PartialLimitConfig
		says   string
	}{
		"a stream":            {rcmgr.PartialLimitConfig{Stream: little}, "one stream sets it (Stream of"},
		"the service's peer":  {rcmgr.PartialLimitConfig{ServicePeer: map[string]rcmgr.ResourceLimits{rpc.ServiceName: little}}, "(ServicePeer of"},
		"the service":         {rcmgr.PartialLimitConfig{Service: map[string]rcmgr.ResourceLimits{rpc.ServiceName: little}}, "(Service of"},
		"the protocol's peer": {rcmgr.PartialLimitConfig{ProtocolPeer: forBoth(little)}, "(ProtocolPeer of"},
		"the protocol":        {rcmgr.PartialLimitConfig{Protocol: forBoth(little)}, "(Protocol of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				for _, at := range []string{"server", "client"} {
					a, b := rig.NewHost(t), rig.LimitedHost(t, c.limits)
					if at == "client" {
						a, b = b, a
					}
					rig.Connect(t, a, b)
					s := rig.Serve(t, b, Echoes{})
					rig.MustHandle(t, s, rpc.NewMethod[int, []byte]("Typed", "Give"), func(_ context.Context, n int) ([]byte, error) {
						return make([]byte, n), nil
					})
					client := tr.Client(t, a)
					check := func(what string, err error) {
						t.Helper()
						if rpc.CodeOf(err) != codes.ResourceExhausted || rig.Unsent(err) ||
							!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), what) {
							t.Errorf("%s, %s: unsent %v: %v", at, what, rig.Unsent(err), err)
						}
					}
					for form, call := range unaryEchoes {
						if at == "client" && strings.Contains(form, "bytes") {
							continue // they are its caller's
						}
						_, err := call(rig.Context(t), client, b, make([]byte, 4*littleSize))
						check("argument", err)
					}
					_, err := rpc.NewMethod[int, []byte]("Typed", "Give").Call(rig.Context(t), client, b.ID(), 4*littleSize)
					check("reply", err)
					rig.Multiplies(t, client, b.ID())
					_ = client.Close()
					rig.Released(t, a, b)
				}
			})
		})
	}
}
