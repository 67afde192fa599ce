package rpc_test

import (
	"context"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var (
	multiply = rpc.NewMethod[*Args, int]("Svc", "Multiply")
	divide   = rpc.NewMethod[Args, Quotient]("Svc", "Divide")
)

func handleDivide(_ context.Context, a Args) (Quotient, error) {
	if a.B == 0 {
		return Quotient{}, errDivide
	}
	return Quotient{a.A / a.B, a.A % a.B}, nil
}

// A typed method and one of a receiver are the same to those who call them, by
// whichever of the two ways.
func TestTypedMethods(t *testing.T) {
	t.Parallel()
	serve := map[string]func(*rpc.Server) error{
		"receiver": func(s *rpc.Server) error { return s.RegisterName("Svc", Arith{}) },
		"typed": func(s *rpc.Server) error {
			if err := divide.Handle(s, handleDivide); err != nil {
				return err
			}
			return multiply.Handle(s, func(_ context.Context, a *Args) (int, error) { return a.A * a.B, nil })
		},
	}
	for name, serve := range serve {
		for _, tr := range transports {
			t.Run(name+"/"+tr.name, func(t *testing.T) {
				t.Parallel()
				s := tr.setup(t, options{})
				if err := serve(s.server); err != nil {
					t.Fatal(err)
				}
				ctx := testContext(t)
				if product, err := multiply.Call(ctx, s.client, s.dest, &Args{6, 7}); err != nil || product != 42 {
					t.Errorf("typed: %v, %v", product, err)
				}
				if q, err := divide.Call(ctx, s.client, s.dest, Args{7, 2}); err != nil || q != (Quotient{3, 1}) {
					t.Errorf("typed: %v, %v", q, err)
				}
				var q Quotient
				if err := s.client.CallContext(ctx, s.dest, "Svc", "Divide", Args{7, 2}, &q); err != nil || q != (Quotient{3, 1}) {
					t.Errorf("by name: %v, %v", q, err)
				}
				if _, err := divide.Call(ctx, s.client, s.dest, Args{7, 0}); err == nil || err.Error() != errDivide.Error() {
					t.Errorf("an error of the method's: %v", err)
				}
				var wrong string
				err := s.client.CallContext(ctx, s.dest, "Svc", "Divide", Args{7, 2}, &wrong)
				checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc.Divide", "*string")
			})
		}
	}
}

// What a method value's caller is told to do can be done with a method value.
func TestAdviceIsForMethodValues(t *testing.T) {
	t.Parallel()
	const reply, unary, streaming = "which does not fit the string that is expected here", "; declare it with NewMethod",
		"; declare it with NewServerStream, NewClientStream or NewDuplex"
	overAll(t, byChannels{}, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		args, replies := make(chan Args, 1), make(chan string, 1)
		args <- Args{7, 2}
		last := func(all func(func(string, error) bool)) (last error) {
			for _, err := range all {
				last = err
			}
			return last
		}
		var some Quotient
		_, unaryReply := rpc.NewMethod[Args, string]("Svc", "Divide").Call(ctx, s.client, s.dest, Args{7, 2})
		_, unaryKind := rpc.NewMethod[int, int]("Svc", "Sum").Call(ctx, s.client, s.dest, 1)
		_, all := rpc.NewMethod[Args, string]("Svc", "Divide").CollectAll(ctx, s.client, []peer.ID{s.dest}, Args{7, 2})
		for _, test := range []struct {
			what string
			err  error
			says string
		}{
			{"Call", unaryReply, reply},
			{"CollectAll", all, reply},
			{"Call of a stream", unaryKind, streaming},
			{"ServerStream of a unary method", last(rpc.NewServerStream[Args, string]("Svc", "Divide").Call(ctx, s.client, s.dest, Args{7, 2})), unary},
			{"ServerStream", last(rpc.NewServerStream[Args, string]("Svc", "Divides").Call(ctx, s.client, s.dest, Args{7, 2})), reply},
			{"Stream", s.client.Stream(ctx, s.dest, "Svc", "Divides", args, replies), reply},
			{"Stream of a unary method", s.client.Stream(ctx, s.dest, "Svc", "Divide", args, make(chan string)), "; call it with Call, Go or MultiCall"},
			{"by name", s.client.CallContext(ctx, s.dest, "Svc", "Divide", Args{7, 2}, new(string)), "does not fit a *string; pass a pointer"},
			{"by name, of a stream", s.client.CallContext(ctx, s.dest, "Svc", "Divides", Args{7, 2}, &some), "; call it with Stream or MultiStream"},
		} {
			if test.err == nil {
				t.Errorf("%s: no error", test.what)
				continue
			}
			checkNames(t, test.err, "Svc.", "peer "+s.dest.String(), test.says)
			if strings.Contains(test.err.Error(), "pointer") != (test.what == "by name") {
				t.Errorf("%s: %v", test.what, test.err)
			}
		}
	})
}
