package rpc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// unsent is what the error says of its request.
func unsent(err error) bool {
	var e *rpc.Error
	return errors.As(err, &e) && e.Unsent()
}

// checkUnsent makes a unary and a streaming call of methods that do not run.
func checkUnsent(t *testing.T, s setup, ctx context.Context, svc string, want bool, code rpc.Code) {
	t.Helper()
	check := func(kind string, err error) {
		t.Helper()
		if unsent(err) != want || rpc.CodeOf(err) != code {
			t.Errorf("%s: unsent %v, code %v: %v", kind, unsent(err), rpc.CodeOf(err), err)
		}
	}
	check("unary", s.client.CallContext(ctx, s.dest, svc, "Unary", 1, new(any)))
	replies := make(chan any)
	got := collect(replies)
	check("streaming", s.client.Stream(ctx, s.dest, svc, "Streaming", make(chan any), replies))
	got()
}

func TestUnsentWhereNothingLeft(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	svc := new(counted)
	overAll(t, svc, options{}, func(t *testing.T, s setup) {
		checkUnsent(t, s, ended, "Svc", true, rpc.CodeCanceled)
		if s.dest != s.sender {
			nowhere := s
			nowhere.dest = coretest.RandPeerIDFatal(t)
			checkUnsent(t, nowhere, testContext(t), "Svc", true, rpc.CodeUnavailable)

			other := setup{client: rpc.NewClient(s.host, "/rpc/none"), dest: s.dest}
			t.Cleanup(func() { _ = other.client.Close() })
			checkUnsent(t, other, testContext(t), "Svc", true, rpc.CodeUnimplemented)
		}
		_ = s.client.Close()
		checkUnsent(t, s, testContext(t), "Svc", true, rpc.CodeUnavailable)
	})
	if n := svc.calls.Load(); n > 0 {
		t.Errorf("the methods ran %d times", n)
	}
}

// What a server turns away unread says so, by whichever transport.
func TestUnsentWhereTheServerTurnsCallsAway(t *testing.T) {
	t.Parallel()
	forEachTransport(t, func(t *testing.T, with func(any, options) setup) {
		t.Run("shutting down", func(t *testing.T) {
			svc := newPatient()
			s := with(svc, options{})
			running := inBackground(func() error { return s.client.Call(s.dest, "Svc", "Unary", 1, new(int)) })
			take(t, "the method runs", svc.started)
			down := inBackground(func() error { return s.server.Shutdown(testContext(t)) })
			eventually(t, "calls are refused", func() bool {
				return rpc.CodeOf(s.client.Call(s.dest, "Svc", "Unary", "no number", new(int))) == rpc.CodeUnavailable
			})
			checkUnsent(t, s, testContext(t), "Svc", true, rpc.CodeUnavailable)
			close(svc.release)
			if err := errors.Join(take(t, "the call ends", running), take(t, "Shutdown returns", down)); err != nil {
				t.Error(err)
			}
		})
		for name, l := range map[string]rpc.Limits{"CallsPerPeer": {CallsPerPeer: 1}, "Calls": {Calls: 1}} {
			t.Run(name, func(t *testing.T) {
				svc, other := newHolder(), new(counted)
				s := with(svc, options{server: []rpc.ServerOption{rpc.WithServerLimits(l)}})
				if s.dest == s.sender {
					return // local calls meet no limit
				}
				if err := s.server.RegisterName("Counted", other); err != nil {
					t.Fatal(err)
				}
				// A session's client does not exceed what it knows that the
				// server takes: the place is taken by another.
				first := newClient(t, s.host)
				held := inBackground(func() error { return first.Call(s.dest, "Svc", "Hold", struct{}{}, new(struct{})) })
				take(t, "the method runs", svc.started)
				checkUnsent(t, s, testContext(t), "Counted", true, rpc.CodeResourceExhausted)
				err := s.client.Call(s.dest, "Counted", "Unary", 1, new(any))
				if class := classOf(err); class != "limit Limits."+name {
					t.Errorf("the type is %q: %v", class, err)
				}
				checkNames(t, err, "Counted.Unary", "peer "+s.dest.String())
				svc.release <- struct{}{}
				if err := take(t, "the call ends", held); err != nil {
					t.Error(err)
				}
				if n := other.calls.Load(); n > 0 {
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
	c := rpc.NewClient(nil, testProtocol)
	_ = c.Close()
	inner := c.Call("", "Inner", "Unary", 1, new(any))
	if !unsent(inner) {
		t.Fatalf("got %v", inner)
	}
	claim := &rpc.Error{Code: rpc.CodeUnavailable, Message: "no", Details: map[string]string{"rpc.unsent": "true"}}
	for name, err := range map[string]error{"passed on": inner, "wrapped": errors.Join(errPlain, inner), "claimed": claim} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overAll(t, relaying{err}, options{}, func(t *testing.T, s setup) {
				checkUnsent(t, s, testContext(t), "Svc", false, rpc.CodeUnavailable)
				got := s.client.Call(s.dest, "Svc", "Unary", 1, new(any))
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
	overAll(t, Arith{}, options{server: []rpc.ServerOption{deny}}, func(t *testing.T, s setup) {
		checkUnsent(t, s, testContext(t), "None", false, rpc.CodeUnimplemented)
		if s.dest != s.sender {
			checkUnsent(t, s, testContext(t), "Denied", false, rpc.CodePermissionDenied)
		}
		if err := s.client.Call(s.dest, "Svc", "Multiply", "no numbers", new(int)); err == nil || unsent(err) {
			t.Errorf("got %v", err)
		}
	})
}
