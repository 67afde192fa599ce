package chain_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/policy"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestPolicyRules(t *testing.T) {
	t.Parallel()
	friend, stranger := coretest.RandPeerIDFatal(t), coretest.RandPeerIDFatal(t)
	p := policy.Rules{
		{Name: "Open"}:                  policy.Everyone(),
		{Name: "Open", Method: "Close"}: policy.Nobody(),
		rig.MultiplyMethod.ID():         policy.Peers(friend),
		{Name: "Some"}:                  policy.Trusted(func(p peer.ID) bool { return p == friend }),
		{Name: "Some", Method: "All"}:   policy.Everyone(),
		{Name: "Zero"}:                  {},
		{Name: "None"}:                  policy.Peers(),
		{}:                              policy.Everyone(), // names nothing
		{Method: "Anything"}:            policy.Everyone(), // the same
	}
	for _, c := range []struct {
		svc, method      string
		friend, stranger bool
	}{
		{"Open", "X", true, true},
		{"Open", "Close", false, false},
		{"Svc", "Multiply", true, false},
		{"Svc", "Divide", false, false},
		{"Some", "X", true, false},
		{"Some", "All", true, true},
		{"Zero", "X", false, false},
		{"None", "X", false, false},
		{"Unknown", "X", false, false},
		{"Open", "", false, false},
		{"", "", false, false},
		{"Other", "Anything", false, false},
		{"Open.Close", "X", false, false}, // another service
		{"open", "X", false, false},
	} {
		if got := p.Authorize(friend, c.svc, c.method); got != c.friend {
			t.Errorf("%s.%s, the friend: %v", c.svc, c.method, got)
		}
		if got := p.Authorize(stranger, c.svc, c.method); got != c.stranger {
			t.Errorf("%s.%s, the stranger: %v", c.svc, c.method, got)
		}
	}
	if (policy.Rules)(nil).Authorize(friend, "Open", "X") {
		t.Error("no policy allows everything")
	}
	for rule, want := range map[string]policy.Rule{
		"everyone": policy.Everyone(), "nobody": policy.Nobody(), friend.String(): policy.Peers(friend),
		"trusted peers": policy.Trusted(func(peer.ID) bool { return true }),
	} {
		if want.String() != rule {
			t.Errorf("%q is described as %v", rule, want)
		}
	}
	defer func() {
		if r, _ := recover().(string); !strings.Contains(r, "policy.Trusted") {
			t.Errorf("a nil function: %v", r)
		}
	}()
	policy.Trusted(nil)
}

// A server asks its policy of remote calls, of both kinds, and of no others.
func TestPolicyOfAServer(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var trusted atomic.Bool
		p := policy.Rules{
			rig.MultiplyMethod.ID():          policy.Trusted(func(peer.ID) bool { return trusted.Load() }),
			{Name: "Svc", Method: "Divides"}: policy.Everyone(),
		}
		s := with(rig.Arith{}, rig.Options{Server: []rpc.ServerOption{policy.With(p)}})
		p[rig.DivideMethod.ID()] = policy.Everyone() // too late
		local := s.Dest == s.Sender
		check := func(method string, err error, allowed bool) {
			t.Helper()
			if denied := rpc.IsAuthorizationError(err); denied == (allowed || local) || !denied && err != nil {
				t.Errorf("%s: got %v", method, err)
			}
		}
		ctx := rig.Context(t)
		_, err := rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, &rig.Args{A: 6, B: 7})
		check("of a peer that is not trusted", err, false)
		trusted.Store(true)
		_, err = rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, &rig.Args{A: 6, B: 7})
		check("of a peer that is trusted", err, true)
		_, err = rig.DivideMethod.Call(ctx, s.Client, s.Dest, rig.Args{A: 7, B: 2})
		check("not stated", err, false)
		_, err = rig.Stream(ctx, t, s, "Divides", rig.Opened(ctx, rig.Args{A: 6, B: 0}), rig.Quotient{})
		if err == nil || err.Error() != rig.ErrDivide.Error() {
			t.Errorf("a stream: got %v", err)
		}
	})
}

// A function that panics allows nothing.
func TestPolicyThatPanicsRefuses(t *testing.T) {
	t.Parallel()
	svc := new(rig.Counted)
	o := rig.Options{Server: []rpc.ServerOption{policy.With(policy.Rules{
		{Name: "Svc"}: policy.Trusted(func(peer.ID) bool { panic("who knows") }),
	})}}
	rig.OverAll(t, svc, o, func(t *testing.T, s rig.Setup) {
		if s.Dest == s.Sender {
			return
		}
		err := s.Client.CallContext(context.Background(), s.Dest, "Svc", "Unary", 1, new(any))
		rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, "Svc.Unary")
		if svc.Calls.Load() > 0 {
			t.Error("the method ran")
		}
	})
}

func TestPolicyReport(t *testing.T) {
	t.Parallel()
	s := rig.Serve(t, nil, rig.Arith{})
	if err := s.RegisterName("Failing", rig.Failing{}); err != nil {
		t.Fatal(err)
	}
	p := policy.Rules{
		{Name: "Failing"}:            policy.Nobody(),
		rig.MultiplyMethod.ID():      policy.Everyone(),
		rig.DivideMethod.ID():        policy.Everyone(),
		{Name: "Svc", Method: "Gon"}: policy.Everyone(),
		{Name: "Old"}:                policy.Nobody(),
	}
	r := p.Report(s)
	want := `Failing.Streaming: nobody
Failing.Unary: nobody
Svc.Block: nobody (not stated)
Svc.Divide: everyone
Svc.Divides: nobody (not stated)
Svc.Multiply: everyone
Svc.ReplyAndError: nobody (not stated)
`
	if r.String() != want {
		t.Errorf("the report is\n%v", r)
	}
	err := r.Err()
	if err == nil {
		t.Fatal("nothing was forgotten")
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 5 {
		t.Errorf("%d things were forgotten: %v", n, err)
	}
	rig.CheckNames(t, err, "no rule names Svc.Block", "no rule names Svc.Divides", "no rule names Svc.ReplyAndError", "Svc.Gon, which", `service "Old"`)

	full := policy.Rules{{Name: "Failing"}: policy.Nobody(), {Name: "Svc"}: policy.Nobody()}
	if err := full.Report(s).Err(); err != nil {
		t.Errorf("nothing was forgotten, but %v", err)
	}
}
