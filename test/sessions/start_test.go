package sessions_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Calls of Go that wait have no goroutine of the client's.
//
// Not parallel: it counts goroutines.
func TestGoOnASessionWaitsWithoutAGoroutine(t *testing.T) {
	const calls = 500
	for _, c := range []struct {
		name string
		end  func(t *testing.T, h *rig.Holder, client *rpc.Client, cancel func())
		code codes.Code
	}{
		{"answered", func(_ *testing.T, h *rig.Holder, _ *rpc.Client, _ func()) {
			for range calls {
				h.Release <- struct{}{}
			}
		}, codes.OK},
		{"cancelled", func(_ *testing.T, _ *rig.Holder, _ *rpc.Client, cancel func()) { cancel() }, codes.Canceled},
		{"closed", func(_ *testing.T, _ *rig.Holder, c *rpc.Client, _ func()) { _ = c.Close() }, codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := rig.NewHosts(t)
			h := rig.NewHolder()
			rig.Serve(t, b, h)
			client := rig.Client(t, a)
			rig.Multiplies(t, client, b.ID()) // the session is open
			ctx, cancel := context.WithCancel(rig.Context(t))
			defer cancel()
			done := make(chan *rpc.Call, calls)
			before := runtime.NumGoroutine()
			for range calls {
				if err := client.GoContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{}), done); err != nil {
					t.Fatal(err)
				}
			}
			for range calls {
				rig.Take(t, "a method runs", h.Started)
			}
			rig.Eventually(t, "no more goroutines than methods, and few others", func() bool {
				return runtime.NumGoroutine()-before < calls+calls/10
			})
			c.end(t, h, client, cancel)
			for range calls {
				if call := rig.Take(t, "a call is over", done); rpc.CodeOf(call.Error) != c.code {
					t.Fatalf("%v, not %v: %v", rpc.CodeOf(call.Error), c.code, call.Error)
				}
			}
			for len(h.Release) < cap(h.Release) && h.Running.Load() > 0 { // what is still held may go
				h.Release <- struct{}{}
			}
			rig.NoGoroutineStays(t)
			if len(done) > 0 {
				t.Errorf("%d calls are over twice", len(done))
			}
		})
	}
}

// So have those of MultiCall, whose caller waits for all.
//
// Not parallel: it counts goroutines.
func TestMultiCallOnSessionsWaitsWithoutAGoroutineEach(t *testing.T) {
	const peers, calls = 4, 200
	own := rig.NewHost(t)
	client := rig.Client(t, own)
	h := rig.NewHolder()
	dests := make([]peer.ID, calls)
	for i := range peers {
		b := rig.NewHost(t)
		rig.Connect(t, own, b)
		rig.Serve(t, b, h)
		rig.Multiplies(t, client, b.ID()) // the session is open
		for j := i; j < calls; j += peers {
			dests[j] = b.ID()
		}
	}
	_, replies := rig.ReplyPointers[struct{}](calls)
	before := runtime.NumGoroutine()
	result := rig.InBackground(func() []error {
		return client.MultiCall(rig.Backgrounds(calls), dests, "Svc", "Hold", struct{}{}, replies)
	})
	for range calls {
		rig.Take(t, "a method runs", h.Started)
	}
	rig.Eventually(t, "no more goroutines than methods, and few others", func() bool {
		return runtime.NumGoroutine()-before < calls+calls/10
	})
	for range calls {
		h.Release <- struct{}{}
	}
	for i, err := range rig.Take(t, "all calls are over", result) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	rig.NoGoroutineStays(t)
}
