package calls_test

import (
	"context"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// A typed method and one of a receiver are the same to those who call them, by
// whichever of the two ways.
func TestTypedMethods(t *testing.T) {
	t.Parallel()
	serve := map[string]func(*rpc.Server) error{
		"receiver": func(s *rpc.Server) error { return s.RegisterName("Svc", rig.Arith{}) },
		"typed": func(s *rpc.Server) error {
			if err := rig.DivideMethod.Handle(s, rig.HandleDivide); err != nil {
				return err
			}
			return rig.MultiplyMethod.Handle(s, func(_ context.Context, a *rig.Args) (int, error) { return a.A * a.B, nil })
		},
	}
	for name, serve := range serve {
		for _, tr := range rig.Transports {
			t.Run(name+"/"+tr.Name, func(t *testing.T) {
				t.Parallel()
				s := tr.Setup(t, rig.Options{})
				if err := serve(s.Server); err != nil {
					t.Fatal(err)
				}
				ctx := rig.Context(t)
				if product, err := rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, &rig.Args{A: 6, B: 7}); err != nil || product != 42 {
					t.Errorf("typed: %v, %v", product, err)
				}
				if q, err := rig.DivideMethod.Call(ctx, s.Client, s.Dest, rig.Args{A: 7, B: 2}); err != nil || q != (rig.Quotient{Quo: 3, Rem: 1}) {
					t.Errorf("typed: %v, %v", q, err)
				}
				var q rig.Quotient
				if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Divide", rig.Args{A: 7, B: 2}, &q); err != nil || q != (rig.Quotient{Quo: 3, Rem: 1}) {
					t.Errorf("by name: %v, %v", q, err)
				}
				if _, err := rig.DivideMethod.Call(ctx, s.Client, s.Dest, rig.Args{A: 7, B: 0}); err == nil || err.Error() != rig.ErrDivide.Error() {
					t.Errorf("an error of the method's: %v", err)
				}
				var wrong string
				err := s.Client.CallContext(ctx, s.Dest, "Svc", "Divide", rig.Args{A: 7, B: 2}, &wrong)
				rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Divide", "*string")
			})
		}
	}
}

// What a method value's caller is told to do can be done with a method value.
func TestAdviceIsForMethodValues(t *testing.T) {
	t.Parallel()
	const reply, unary, streaming = "which does not fit the string that is expected here", "; declare it with NewMethod",
		"; declare it with NewServerStream, NewClientStream or NewDuplex"
	rig.OverAll(t, rig.ByChannels{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		args, replies := make(chan rig.Args, 1), make(chan string, 1)
		args <- rig.Args{A: 7, B: 2}
		last := func(all func(func(string, error) bool)) (last error) {
			for _, err := range all {
				last = err
			}
			return last
		}
		var some rig.Quotient
		_, unaryReply := rpc.NewMethod[rig.Args, string]("Svc", "Divide").Call(ctx, s.Client, s.Dest, rig.Args{A: 7, B: 2})
		_, unaryKind := rpc.NewMethod[int, int]("Svc", "Sum").Call(ctx, s.Client, s.Dest, 1)
		_, all := rpc.NewMethod[rig.Args, string]("Svc", "Divide").CollectAll(ctx, s.Client, []peer.ID{s.Dest}, rig.Args{A: 7, B: 2})
		for _, test := range []struct {
			what string
			err  error
			says string
		}{
			{"Call", unaryReply, reply},
			{"CollectAll", all, reply},
			{"Call of a stream", unaryKind, streaming},
			{"ServerStream of a unary method", last(rpc.NewServerStream[rig.Args, string]("Svc", "Divide").Call(ctx, s.Client, s.Dest, rig.Args{A: 7, B: 2})), unary},
			{"ServerStream", last(rpc.NewServerStream[rig.Args, string]("Svc", "Divides").Call(ctx, s.Client, s.Dest, rig.Args{A: 7, B: 2})), reply},
			{"Stream", s.Client.Stream(ctx, s.Dest, "Svc", "Divides", args, replies), reply},
			{"Stream of a unary method", s.Client.Stream(ctx, s.Dest, "Svc", "Divide", args, make(chan string)), "; call it with Call, Go or MultiCall"},
			{"by name", s.Client.CallContext(ctx, s.Dest, "Svc", "Divide", rig.Args{A: 7, B: 2}, new(string)), "does not fit a *string; pass a pointer"},
			{"by name, of a stream", s.Client.CallContext(ctx, s.Dest, "Svc", "Divides", rig.Args{A: 7, B: 2}, &some), "; call it with Stream or MultiStream"},
		} {
			if test.err == nil {
				t.Errorf("%s: no error", test.what)
				continue
			}
			rig.CheckNames(t, test.err, "Svc.", "peer "+s.Dest.String(), test.says)
			if strings.Contains(test.err.Error(), "pointer") != (test.what == "by name") {
				t.Errorf("%s: %v", test.what, test.err)
			}
		}
	})
}
