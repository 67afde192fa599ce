package compat_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestV06ClientSeesMessageAndKind(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b, rpc.WithAuthorizeFunc(func(_ peer.ID, _, m string) bool { return m != "Denied" }))
	svc := rig.Failing{Errs: map[string]func(context.Context) error{
		"own":   rig.AlwaysErr(rig.ErrOwn),
		"empty": rig.AlwaysErr(errors.New("")),
		"none":  rig.AlwaysErr(&rpc.Error{Code: codes.Aborted}),
	}}
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, arg, text string
		kind              rpc.ErrorType
	}{
		{"Unary", "own", "no such pin", rpc.NonRPCErr},
		{"Streaming", "own", "no such pin", rpc.NonRPCErr},
		{"Unary", "empty", "Unknown", rpc.NonRPCErr},
		{"Streaming", "none", "Aborted", rpc.NonRPCErr},
		{"Missing", "", "rpc: can't find method Missing", rpc.ServerErr},
		{"Denied", "", "client does not have permissions to call Svc.Denied", rpc.AuthorizationErr},
	} {
		r := rig.CallAsV06(t, a, b.ID(), c.method, c.method == "Streaming", c.arg)
		if r.Error != c.text || r.ErrType != c.kind || r.Service != (rpc.ServiceID{Name: "Svc", Method: c.method}) {
			t.Errorf("%s of %q: v0.6 sees %+v", c.method, c.arg, r)
		}
	}
}

func TestErrorsOfAV06ServerGetCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		kind rpc.ErrorType
		code codes.Code
		want rpc.ErrorType
		is   error
	}{
		{"context canceled", rpc.NonRPCErr, codes.Canceled, rpc.NonRPCErr, context.Canceled},
		{"context deadline exceeded", rpc.NonRPCErr, codes.DeadlineExceeded, rpc.NonRPCErr, context.DeadlineExceeded},
		{"context canceled", rpc.ClientErr, codes.Canceled, rpc.ClientErr, context.Canceled},
		{"pin: context canceled", rpc.NonRPCErr, codes.Unknown, rpc.NonRPCErr, nil},
		{"boom", rpc.NonRPCErr, codes.Unknown, rpc.NonRPCErr, nil},
		{"rpc: can't find service X", rpc.NonRPCErr, codes.Unknown, rpc.NonRPCErr, nil},
		{"rpc: can't find service X", rpc.ServerErr, codes.Unimplemented, rpc.ServerErr, nil},
		{"rpc: can't find method X", rpc.ServerErr, codes.Unimplemented, rpc.ServerErr, nil},
		{"msgpack decode error [pos 1]: x", rpc.ServerErr, codes.InvalidArgument, rpc.ServerErr, nil},
		{"boom", rpc.ServerErr, codes.Internal, rpc.ServerErr, nil},
		{"boom", rpc.AuthorizationErr, codes.PermissionDenied, rpc.AuthorizationErr, nil},
		{"boom", 77, codes.Unknown, rpc.ServerErr, nil}, // of a later version
	} {
		t.Run(fmt.Sprintf("%s/%d", c.text, c.kind), func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			rig.ServeAsV06(b, rig.V06Response{Error: c.text, ErrType: c.kind})
			client := rig.Client(t, a)
			rig.FailBoth(t, rig.Setup{Client: client, Dest: b.ID(), Sender: a.ID()}, "x", func(t *testing.T, err error) {
				var e *rpc.Error
				if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), c.text) || e.Type() != c.want || len(e.Details) > 0 {
					t.Fatalf("got %v", err)
				}
				if c.want == rpc.NonRPCErr || c.want == rpc.ClientErr { // the method's
					if err.Error() != c.text {
						t.Errorf("the text is %q", err)
					}
				} else {
					rig.CheckNames(t, err, "Svc.", b.ID().String())
				}
				if c.kind <= rpc.AuthorizationErr && e.Code != c.code {
					t.Errorf("the code is %v, not %v", e.Code, c.code)
				}
				for _, target := range []error{context.Canceled, context.DeadlineExceeded} {
					if errors.Is(err, target) != (c.is == target) {
						t.Errorf("errors.Is(%v, %v) is wrong", err, target)
					}
				}
			})
		})
	}
}
