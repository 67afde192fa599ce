package rpc_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Calls of Go that wait have no goroutine of the client's.
//
// Not parallel: it counts goroutines.
func TestGoOnASessionWaitsWithoutAGoroutine(t *testing.T) {
	const calls = 500
	for _, c := range []struct {
		name string
		end  func(t *testing.T, h *holder, client *rpc.Client, cancel func())
		code rpc.Code
	}{
		{"answered", func(_ *testing.T, h *holder, _ *rpc.Client, _ func()) {
			for range calls {
				h.release <- struct{}{}
			}
		}, rpc.CodeOK},
		{"cancelled", func(_ *testing.T, _ *holder, _ *rpc.Client, cancel func()) { cancel() }, rpc.CodeCanceled},
		{"closed", func(_ *testing.T, _ *holder, c *rpc.Client, _ func()) { _ = c.Close() }, rpc.CodeUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newHosts(t)
			h := newHolder()
			serve(t, b, h)
			client := newClientOf(t, a)
			multiplies(t, client, b.ID()) // the session is open
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			done := make(chan *rpc.Call, calls)
			before := runtime.NumGoroutine()
			for range calls {
				if err := client.GoContext(ctx, b.ID(), "Svc", "Hold", struct{}{}, new(struct{}), done); err != nil {
					t.Fatal(err)
				}
			}
			for range calls {
				take(t, "a method runs", h.started)
			}
			eventually(t, "no more goroutines than methods, and few others", func() bool {
				return runtime.NumGoroutine()-before < calls+calls/10
			})
			c.end(t, h, client, cancel)
			for range calls {
				if call := take(t, "a call is over", done); rpc.CodeOf(call.Error) != c.code {
					t.Fatalf("%v, not %v: %v", rpc.CodeOf(call.Error), c.code, call.Error)
				}
			}
			for len(h.release) < cap(h.release) && h.running.Load() > 0 { // what is still held may go
				h.release <- struct{}{}
			}
			noGoroutineStays(t)
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
	own := newHost(t)
	client := newClientOf(t, own)
	h := newHolder()
	dests := make([]peer.ID, calls)
	for i := range peers {
		b := newHost(t)
		connect(t, own, b)
		serve(t, b, h)
		multiplies(t, client, b.ID()) // the session is open
		for j := i; j < calls; j += peers {
			dests[j] = b.ID()
		}
	}
	_, replies := replyPointers[struct{}](calls)
	before := runtime.NumGoroutine()
	result := inBackground(func() []error {
		return client.MultiCall(backgrounds(calls), dests, "Svc", "Hold", struct{}{}, replies)
	})
	for range calls {
		take(t, "a method runs", h.started)
	}
	eventually(t, "no more goroutines than methods, and few others", func() bool {
		return runtime.NumGoroutine()-before < calls+calls/10
	})
	for range calls {
		h.release <- struct{}{}
	}
	for i, err := range take(t, "all calls are over", result) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	noGoroutineStays(t)
}
