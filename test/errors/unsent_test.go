package errors_test

import (
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// checkUnsent makes a unary and a streaming call of methods that do not run.
func checkUnsent(t *testing.T, s rig.Setup, ctx context.Context, svc string, want bool, code codes.Code) {
	t.Helper()
	check := func(kind string, err error) {
		t.Helper()
		if rig.Unsent(err) != want || rpc.CodeOf(err) != code {
			t.Errorf("%s: unsent %v, code %v: %v", kind, rig.Unsent(err), rpc.CodeOf(err), err)
		}
	}
	check("unary", s.Client.CallContext(ctx, s.Dest, svc, "Unary", 1, new(any)))
	replies := make(chan any)
	got := rig.Collect(replies)
	check("streaming", s.Client.Stream(ctx, s.Dest, svc, "Streaming", make(chan any), replies))
	got()
}

func TestUnsentWhereNothingLeft(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	svc := new(rig.Counted)
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		checkUnsent(t, s, ended, "Svc", true, codes.Canceled)
		if s.Dest != s.Sender {
			nowhere := s
			nowhere.Dest = coretest.RandPeerIDFatal(t)
			checkUnsent(t, nowhere, rig.Context(t), "Svc", true, codes.Unavailable)

			other := rig.Setup{Client: rpc.NewClient(s.Host, "/rpc/none"), Dest: s.Dest}
			t.Cleanup(func() { _ = other.Client.Close() })
			checkUnsent(t, other, rig.Context(t), "Svc", true, codes.Unimplemented)
		}
		_ = s.Client.Close()
		checkUnsent(t, s, rig.Context(t), "Svc", true, codes.Unavailable)
	})
	if n := svc.Calls.Load(); n > 0 {
		t.Errorf("the methods ran %d times", n)
	}
}

// What a server turns away unread says so, by whichever transport.
func TestUnsentWhereTheServerTurnsCallsAway(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		t.Run("shutting down", func(t *testing.T) {
			svc := rig.NewPatient()
			s := with(svc, rig.Options{})
			running := rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Unary", 1, new(int)) })
			rig.Take(t, "the method runs", svc.Started)
			down := rig.InBackground(func() error { return s.Server.Shutdown(rig.Context(t)) })
			rig.Eventually(t, "calls are refused", func() bool {
				return rpc.CodeOf(s.Client.Call(s.Dest, "Svc", "Unary", "no number", new(int))) == codes.Unavailable
			})
			checkUnsent(t, s, rig.Context(t), "Svc", true, codes.Unavailable)
			close(svc.Release)
			if err := errors.Join(rig.Take(t, "the call ends", running), rig.Take(t, "Shutdown returns", down)); err != nil {
				t.Error(err)
			}
		})
		for name, l := range map[string]rpc.Limits{"CallsPerPeer": {CallsPerPeer: 1}, "Calls": {Calls: 1}} {
			t.Run(name, func(t *testing.T) {
				svc, other := rig.NewHolder(), new(rig.Counted)
				s := with(svc, rig.Options{Server: []rpc.ServerOption{rpc.WithServerLimits(l)}})
				if s.Dest == s.Sender {
					return // local calls meet no limit
				}
				if err := s.Server.RegisterName("Counted", other); err != nil {
					t.Fatal(err)
				}
				// A session's client does not exceed what it knows that the
				// server takes: the place is taken by another.
				first := rig.Wire.Client(t, s.Host)
				held := rig.InBackground(func() error { return first.Call(s.Dest, "Svc", "Hold", struct{}{}, new(struct{})) })
				rig.Take(t, "the method runs", svc.Started)
				checkUnsent(t, s, rig.Context(t), "Counted", true, codes.ResourceExhausted)
				err := s.Client.Call(s.Dest, "Counted", "Unary", 1, new(any))
				if class := classOf(err); class != "limit Limits."+name {
					t.Errorf("the type is %q: %v", class, err)
				}
				rig.CheckNames(t, err, "Counted.Unary", "peer "+s.Dest.String())
				svc.Release <- struct{}{}
				if err := rig.Take(t, "the call ends", held); err != nil {
					t.Error(err)
				}
				if n := other.Calls.Load(); n > 0 {
					t.Errorf("the methods ran %d times", n)
				}
			})
		}
	})
}

// relaying fails as a call of its own does, or with an Error that it made up.
type relaying struct{ err error }

func (r relaying) Unary(context.Context, any, *any) error { return r.err }

func (r relaying) Streaming(_ context.Context, _ <-chan any, _ chan<- any) error { return r.err }

// A method has run, whatever the error says that it passes on.
func TestUnsentIsNotPassedOn(t *testing.T) {
	t.Parallel()
	c := rpc.NewClient(nil, rig.Protocol)
	_ = c.Close()
	inner := c.Call("", "Inner", "Unary", 1, new(any))
	if !rig.Unsent(inner) {
		t.Fatalf("got %v", inner)
	}
	claim := &rpc.Error{Code: codes.Unavailable, Message: "no", Details: map[string]string{"rpc.unsent": "true"}}
	for name, err := range map[string]error{"passed on": inner, "wrapped": errors.Join(errPlain, inner), "claimed": claim} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig.OverAll(t, relaying{err}, rig.Options{}, func(t *testing.T, s rig.Setup) {
				checkUnsent(t, s, rig.Context(t), "Svc", false, codes.Unavailable)
				got := s.Client.Call(s.Dest, "Svc", "Unary", 1, new(any))
				if got.Error() != err.Error() || rpc.IsClientError(got) != rpc.IsClientError(err) {
					t.Errorf("%v arrives as %v", err, got)
				}
			})
		})
	}
}

// What is refused for what it is would be refused again.
func TestUnsentIsNotSaidOfRefusedRequests(t *testing.T) {
	t.Parallel()
	deny := rpc.WithAuthorizeFunc(func(_ peer.ID, svc, _ string) bool { return svc != "Denied" })
	rig.OverAll(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{deny}}, func(t *testing.T, s rig.Setup) {
		checkUnsent(t, s, rig.Context(t), "None", false, codes.Unimplemented)
		if s.Dest != s.Sender {
			checkUnsent(t, s, rig.Context(t), "Denied", false, codes.PermissionDenied)
		}
		if err := s.Client.Call(s.Dest, "Svc", "Multiply", "no numbers", new(int)); err == nil || rig.Unsent(err) {
			t.Errorf("got %v", err)
		}
	})
}
