package servers_test

import (
	"context"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// toldOf returns an option whose function tells of calls that are turned away.
func toldOf() (rpc.ServerOption, <-chan refusedCall) {
	told := make(chan refusedCall, 100)
	return rpc.WithRefusedFunc(func(_ context.Context, call *rpc.CallInfo, err error) { told <- refusedCall{*call, err} }), told
}

// A call that is denied is told of with its caller and the names that were sent,
// whether there is such a method or not, and its argument is not read.
func TestDeniedCallsAreTold(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		opt, told := toldOf()
		s := tr.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{opt, rpc.WithAuthorizeFunc(rpc.AuthorizeWithMap(nil))}})
		for _, method := range []string{"Multiply", "Nothing"} {
			var n int
			err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", method, rig.Args{A: 1}, &n)
			rig.CheckErr(t, err, rpc.AuthorizationErr, codes.PermissionDenied)
			r := rig.Take(t, "it is told", told)
			if !rpc.IsAuthorizationError(r.err) || r.call.Peer != s.Sender || r.call.ID() != (rpc.ServiceID{Name: "Svc", Method: method}) ||
				r.call.Args != nil || r.call.Registered() != (method == "Multiply") || r.call.Conn() == nil {
				t.Errorf("told of %+v: %v", r.call, r.err)
			}
		}
	})
}

// A call that Drop ends is told of, too.
func TestDroppedCallsAreTold(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		opt, told := toldOf()
		allowed := make(chan bool, 2)
		allowed <- true
		begun := make(chan struct{})
		s := tr.Setup(t, rig.Options{Server: []rpc.ServerOption{opt, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return len(allowed) > 0 })}})
		m := rig.MustHandle(t, s.Server, rpc.NewMethod[int, int]("Svc", "Wait"), func(ctx context.Context, n int) (int, error) {
			close(begun)
			<-ctx.Done()
			return n, ctx.Err()
		})
		err := rig.InBackground(func() error {
			_, err := m.Call(rig.Context(t), s.Client, s.Dest, 1)
			return err
		})
		rig.Take(t, "the method runs", begun)
		<-allowed
		s.Server.Drop(s.Sender)
		rig.CheckErr(t, rig.Take(t, "the call ends", err), rpc.AuthorizationErr, codes.PermissionDenied)
		if r := rig.Take(t, "it is told", told); !rpc.IsAuthorizationError(r.err) || r.call.ID() != m.ID() || r.call.Peer != s.Sender {
			t.Errorf("told of %+v: %v", r.call, r.err)
		}
	})
}

// A call for which there is no place is told of, whatever bounds the places. Of what a
// peer sends beyond Limits.CallsPerPeer on streams of their own, no names are read.
func TestOverloadedCallsAreTold(t *testing.T) {
	t.Parallel()
	one := func(c rpc.MethodConfig) rpc.ServerOption { return rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc"}, c) }
	for limit, opt := range map[string]rpc.ServerOption{
		"Limits.Calls":              rpc.WithServerLimits(rpc.Limits{Calls: 1}),
		"Limits.CallsPerPeer":       rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1}),
		"MethodConfig.Calls":        one(rpc.MethodConfig{Calls: 1}),
		"MethodConfig.CallsPerPeer": one(rpc.MethodConfig{CallsPerPeer: 1}),
		"MethodConfig.Rate":         one(rpc.MethodConfig{Rate: 0.001, Burst: 1}),
	} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				refused, told := toldOf()
				h := rig.NewHolder()
				s := tr.With(t, h, rig.Options{Server: []rpc.ServerOption{opt, refused}})
				ctx := rig.Context(t)
				held := rig.InBackground(func() error {
					return s.Client.CallContext(ctx, s.Dest, "Svc", "Hold", struct{}{}, &struct{}{})
				})
				rig.Take(t, "the method runs", h.Started)
				// Another client does not know what the session of the first has announced.
				other := tr.Client(t, s.Host)
				err := other.CallContext(ctx, s.Dest, "Svc", "Hold", struct{}{}, &struct{}{})
				rig.CheckErr(t, err, rpc.ServerErr, codes.ResourceExhausted, limit)
				r := rig.Take(t, "it is told", told)
				want := rpc.ServiceID{Name: "Svc", Method: "Hold"}
				if limit == "Limits.CallsPerPeer" && tr.Name == "wire" {
					want = rpc.ServiceID{}
				}
				if !rig.Unsent(r.err) || rpc.CodeOf(r.err) != codes.ResourceExhausted || r.call.Peer != s.Sender || r.call.ID() != want {
					t.Errorf("told of %+v: %v", r.call, r.err)
				}
				h.Release <- struct{}{}
				if err := rig.Take(t, "the first call ends", held); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A header that cannot be read is told of, with the caller alone.
func TestBadHeadersAreTold(t *testing.T) {
	t.Parallel()
	opt, told := toldOf()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, rig.Arith{}, opt)
	st := rig.Open(t, a, b, rig.Extended)
	rig.Write(t, st, []byte{0xc1, 0xc1})
	_ = st.CloseWrite()
	_, _ = io.ReadAll(st)
	if r := rig.Take(t, "it is told", told); rpc.CodeOf(r.err) != codes.InvalidArgument || r.call.Peer != a.ID() || r.call.ID() != (rpc.ServiceID{}) {
		t.Errorf("told of %+v: %v", r.call, r.err)
	}
}

// A call that comes in a shutdown is told of.
func TestCallsInAShutdownAreTold(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		opt, told := toldOf()
		h := rig.NewHolder()
		s := tr.With(t, h, rig.Options{Server: []rpc.ServerOption{opt}})
		ctx := rig.Context(t)
		held := rig.InBackground(func() error {
			return s.Client.CallContext(ctx, s.Dest, "Svc", "Hold", struct{}{}, &struct{}{})
		})
		rig.Take(t, "the method runs", h.Started)
		down := rig.InBackground(func() error { return s.Server.Shutdown(ctx) })
		rig.Eventually(t, "it is told", func() bool {
			_ = rig.Wire.Client(t, s.Host).CallContext(ctx, s.Dest, "Svc", "None", struct{}{}, &struct{}{})
			r := rig.Take(t, "a call is turned away", told)
			return rpc.CodeOf(r.err) == codes.Unavailable && rig.Unsent(r.err) && r.call.Peer == s.Sender && r.call.Method == "None"
		})
		h.Release <- struct{}{}
		if err := rig.Take(t, "the shutdown ends", down); err != nil {
			t.Error(err)
		}
		_ = rig.Take(t, "the first call ends", held)
	})
}
