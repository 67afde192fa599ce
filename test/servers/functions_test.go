package servers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestFunctionsAreMethods(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		factor := 3 // functions have state of their own, methods by value do not
		times := func(_ context.Context, a int, r *int) error {
			*r = a * factor
			if a < 0 {
				return errors.New("negative")
			}
			return nil
		}
		split := func(_ context.Context, in <-chan rig.Args, out chan<- int) error {
			for a := range in {
				out <- a.A
				out <- a.B
			}
			return nil
		}
		pointers := func(_ context.Context, a *rig.Args, r **rig.Args) error {
			*r = &rig.Args{A: a.B, B: a.A}
			return nil
		}
		for what, err := range map[string]error{
			"added to a service": s.Server.RegisterFunc("Svc", "Times", times),
			"of a new service":   s.Server.RegisterFunc("Other", "Split", split),
			"added to that":      s.Server.RegisterFunc("Other", "Pointers", pointers),
		} {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}

		var n int
		if err := s.Client.Call(s.Dest, "Svc", "Times", 14, &n); err != nil || n != 42 {
			t.Errorf("Times: %d, %v", n, err)
		}
		if err := s.Client.Call(s.Dest, "Svc", "Times", -1, &n); err == nil || err.Error() != "negative" || n != -3 {
			t.Errorf("Times, with an error beside its reply: %d, %v", n, err)
		}
		if err := s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
			t.Errorf("the receiver's method: %d, %v", n, err)
		}
		var swapped *rig.Args
		if err := s.Client.Call(s.Dest, "Other", "Pointers", rig.Args{A: 1, B: 2}, &swapped); err != nil || *swapped != (rig.Args{A: 2, B: 1}) {
			t.Errorf("Pointers: %v, %v", swapped, err)
		}
		rig.CheckErr(t, s.Client.Call(s.Dest, "Other", "Pointers", "word", &swapped), rpc.ServerErr, codes.InvalidArgument, "Other.Pointers", "*rig.Args")

		args, replies := make(chan rig.Args), make(chan int)
		got := rig.Collect(replies)
		rig.SendAll(rig.Context(t), args, rig.Args{A: 1, B: 2}, rig.Args{A: 3, B: 4})
		if err := s.Client.Stream(rig.Context(t), s.Dest, "Other", "Split", args, replies); err != nil {
			t.Errorf("Split: %v", err)
		}
		if all := got(); !slices.Equal(all, []int{1, 2, 3, 4}) {
			t.Errorf("Split: %v", all)
		}
	})
}

func TestFunctionsAreListed(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
	if err := s.Register(&Crooked{}); err != nil {
		t.Fatal(err)
	}
	before := s.Services()[0]
	if err := s.RegisterFunc("Crooked", "Another", func(context.Context, int, *string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	after := s.Services()[0]
	if len(before.Methods)+1 != len(after.Methods) || after.Methods[0].Name != "Another" || after.Methods[0].Kind != rpc.Unary ||
		fmt.Sprint(after.Methods[0].Args, after.Methods[0].Reply) != "int string" || len(after.LeftOut) != len(before.LeftOut) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestRegisterFuncRefusesWhatIsNoMethod(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
	good := func(context.Context, int, *int) error { return nil }
	if err := s.RegisterFunc("Svc", "Good", good); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("m", rpc.MaxServiceIDLength)
	for what, c := range map[string]struct {
		err  error
		says string
	}{
		"nil":               {s.RegisterFunc("Svc", "A", nil), "Svc.A: it is nil, not a function"},
		"no function":       {s.RegisterFunc("Svc", "A", rig.Arith{}), "Svc.A: it is rig.Arith, not a function"},
		"a nil function":    {s.RegisterFunc("Svc", "A", (func(context.Context, int, *int) error)(nil)), "Svc.A: it is a nil func("},
		"another form":      {s.RegisterFunc("Svc", "A", func(context.Context, int) (int, error) { return 0, nil }), "takes 2 arguments, not 3"},
		"no pointer":        {s.RegisterFunc("Svc", "A", func(context.Context, int, int) error { return nil }), "reply is a int, not a pointer"},
		"a duplicate":       {s.RegisterFunc("Svc", "Good", good), "already defined: Svc.Good"},
		"no service's name": {s.RegisterFunc("", "A", good), "must have a name"},
		"no method's name":  {s.RegisterFunc("Svc", "", good), "must have a name"},
		"a long name":       {s.RegisterFunc("Svc", long, good), "use a shorter one"},
		"a taken service":   {s.RegisterName("Svc", rig.Arith{}), "already defined: Svc"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if infos := s.Services(); len(infos) != 1 || len(infos[0].Methods) != 1 {
		t.Errorf("services %+v", infos)
	}
}

// A nil function would only be found by whoever calls it.
func TestHandleRefusesNil(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
	for what, err := range map[string]error{
		"Svc.Multiply cannot be served: the *Server is nil":                           rig.MultiplyMethod.Handle(nil, nil),
		"Svc.CountTo cannot be served: the *Server is nil":                            rig.CountTo.Handle(nil, nil),
		"Svc.Multiply: it is a nil func(context.Context, *rig.Args) (int, error)":     rig.MultiplyMethod.Handle(s, nil),
		"Svc.CountTo: it is a nil func(context.Context, int, *rpc.Sender[int]) error": rig.CountTo.Handle(s, nil),
		"Svc.Sum: it is a nil func(context.Context, *rpc.Receiver[int]) (int, error)": rig.Sum.Handle(s, nil),
		"Svc.Divides: it is a nil func(context.Context, *rpc.Receiver[":               rig.Divides.Handle(s, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("not %q: %v", what, err)
		}
	}
	if infos := s.Services(); len(infos) != 0 {
		t.Errorf("services %+v", infos)
	}
}
