package rpc_test

import (
	"context"
	"testing"

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
