package health_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/health"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
	"github.com/libp2p/go-libp2p-gorpc/watch"
)

// over runs f with the health of a server, over every transport.
func over(t *testing.T, f func(t *testing.T, s rig.Setup, h *health.Services), opts ...rpc.ServerOption) {
	t.Helper()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{Server: opts})
			h, err := health.New(s.Server)
			if err != nil {
				t.Fatal(err)
			}
			f(t, s, h)
		})
	}
}

func TestHealthIsSetByHand(t *testing.T) {
	over(t, func(t *testing.T, s rig.Setup, h *health.Services) {
		ctx := rig.Context(t)
		check := func(service string, want health.Report, code codes.Code) {
			t.Helper()
			got, err := health.Check(ctx, s.Client, s.Dest, service)
			if rpc.CodeOf(err) != code || err == nil && got != want {
				t.Errorf("%q is %+v, %v; want %+v, %v", service, got, err, want, code)
			}
		}
		check("", health.Report{Status: health.Serving}, codes.OK)
		check("Store", health.Report{}, codes.NotFound)
		h.Set("Store", health.NotServing, "the disk is full")
		want := health.Report{Service: "Store", Status: health.NotServing, Why: "the disk is full"}
		check("Store", want, codes.OK)
		if got, err := h.Of(ctx, "Store"); got != want || err != nil {
			t.Errorf("its own server says %+v, %v", got, err)
		}
		h.Set("Store", health.Unknown, "")
		check("Store", health.Report{}, codes.NotFound)
		if _, err := health.New(s.Server); err == nil {
			t.Error("a server has two healths")
		}
	})
}

func TestHealthIsFoundOutByAFunction(t *testing.T) {
	over(t, func(t *testing.T, s rig.Setup, h *health.Services) {
		ctx := rig.Context(t)
		var calls atomic.Int32
		h.SetCheck("Store", time.Hour, func(context.Context) error { calls.Add(1); return errors.New("no disk") })
		for range 3 {
			if r, err := health.Check(ctx, s.Client, s.Dest, "Store"); err != nil || r.Status != health.NotServing || r.Why != "no disk" {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("it was asked %d times in an hour, want once", n)
		}
		h.SetCheck("Store", time.Hour, func(context.Context) error { panic("out of order") })
		if r, err := health.Check(ctx, s.Client, s.Dest, "Store"); err != nil || r.Status != health.NotServing || r.Why != "the check panicked: out of order" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// A check that hangs holds up those who ask no longer than they want to wait.
func TestAHangingCheck(t *testing.T) {
	over(t, func(t *testing.T, s rig.Setup, h *health.Services) {
		asked, release := make(chan struct{}), make(chan struct{})
		h.SetCheck("Store", time.Hour, func(context.Context) error { close(asked); <-release; return nil })
		first := rig.InBackground(func() error { _, err := health.Check(rig.Context(t), s.Client, s.Dest, "Store"); return err })
		rig.Take(t, "the function is asked", asked)
		ctx, cancel := context.WithCancel(rig.Context(t))
		second := rig.InBackground(func() error { _, err := health.Check(ctx, s.Client, s.Dest, "Store"); return err })
		cancel()
		if err := rig.Take(t, "the second gives up", second); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
		if err := rig.Take(t, "the first has its answer", first); err != nil {
			t.Error(err)
		}
	})
}

func TestWatchersSeeWhatChanges(t *testing.T) {
	over(t, func(t *testing.T, s rig.Setup, h *health.Services) {
		ctx, cancel := context.WithCancel(rig.Context(t))
		defer cancel()
		next, stop := iter.Pull2(health.Watch(ctx, s.Client, s.Dest, "Store"))
		defer stop()
		expect := func(status health.Status, why string) {
			t.Helper()
			r, err, ok := next()
			if !ok || err != nil || r.Status != status || r.Why != why {
				t.Fatalf("%+v, %v, %v; want %v, %q", r, err, ok, status, why)
			}
		}
		expect(health.Unknown, "")
		h.Set("Store", health.Serving, "")
		expect(health.Serving, "")
		h.Set("Other", health.Serving, "")
		h.Set("Store", health.NotServing, "full")
		expect(health.NotServing, "full")

		down := rig.InBackground(func() error { return s.Server.Shutdown(rig.Context(t)) })
		expect(health.NotServing, "the server is shutting down")
		_, err, _ := next()
		if i := new(watch.Interrupted); !errors.As(err, &i) || rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("the watch has ended with %v", err)
		}
		if err := rig.Take(t, "the server is down", down); err != nil {
			t.Error(err)
		}
		if _, err := health.Check(rig.Context(t), s.Client, s.Dest, ""); err == nil {
			t.Error("a server that is down has answered")
		}
	})
}

func TestNewChecksOfAServerThatStopsAreUnavailable(t *testing.T) {
	over(t, func(t *testing.T, s rig.Setup, _ *health.Services) {
		b := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 1)}
		if err := s.Server.RegisterName("Svc", b); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(rig.Context(t))
		held := rig.InBackground(func() error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Block", struct{}{}, new(int)) })
		rig.Take(t, "the method runs", b.Started)
		down := rig.InBackground(func() error { return s.Server.Shutdown(rig.Context(t)) })
		rig.Eventually(t, "it shuts down", func() bool { return s.Server.State().ShuttingDown })
		if _, err := health.Check(rig.Context(t), s.Client, s.Dest, ""); rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		cancel()
		rig.Take(t, "the call ends", held)
		rig.Take(t, "the server is down", down)
	})
}

func TestHealthIsAuthorizedLikeAnything(t *testing.T) {
	over(t, func(t *testing.T, s rig.Setup, _ *health.Services) {
		_, err := health.Check(rig.Context(t), s.Client, s.Dest, "")
		if local := s.Sender == s.Dest; local != (err == nil) || !local && rpc.CodeOf(err) != codes.PermissionDenied {
			t.Errorf("got %v", err)
		}
	}, rpc.WithAuthorizeFunc(func(_ peer.ID, service, _ string) bool { return service != health.ServiceName }))
}

// Those who watch are told of what a function finds out, as often as it is asked.
func TestAFunctionIsAskedForThoseWhoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := rig.LocalOnly(t, rig.Options{})
		h, err := health.New(s)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		h.SetCheck("Store", time.Minute, func(context.Context) error {
			n++
			return map[bool]error{true: fmt.Errorf("%d", n)}[n%2 == 0]
		})
		begin, got := time.Now(), 0
		for r, err := range health.Watch(t.Context(), c, "", "Store") {
			if err != nil {
				t.Fatal(err)
			}
			if got++; got%2 == 0 != (r.Status == health.NotServing) {
				t.Errorf("the %dth is %+v", got, r)
			}
			if got == 4 {
				break
			}
		}
		if d := time.Since(begin); d != 3*time.Minute {
			t.Errorf("four answers in %v, want 3 minutes", d)
		}
	})
}
