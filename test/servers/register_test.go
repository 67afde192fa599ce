package servers_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestRegisterWhileServing(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		const callers, services = 64, 15
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var registered atomic.Int64
		for i := range callers {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					service := "Svc"
					if known := registered.Load(); known > 0 {
						service = fmt.Sprint("Svc", (int64(i+n))%known)
					}
					var product int
					if err := s.Client.Call(s.Dest, service, "Multiply", rig.Args{A: 2, B: 3}, &product); err != nil || product != 6 {
						t.Errorf("%s: %d, %v", service, product, err)
						return
					}
				}
			})
		}
		for i := range services {
			name := fmt.Sprint("Svc", i)
			if err := s.Server.RegisterName(name, rig.Arith{}); err != nil {
				t.Error(err)
			}
			var product int
			if err := s.Client.Call(s.Dest, name, "Multiply", rig.Args{A: 2, B: 3}, &product); err != nil || product != 6 {
				t.Errorf("%s: %d, %v", name, product, err)
			}
			if n := len(s.Server.Services()); n != i+2 {
				t.Errorf("%d services are listed", n)
			}
			registered.Store(int64(i + 1))
		}
		close(stop)
		wg.Wait()
	})
}

// Crooked has one good method.
type Crooked struct{}

func (Crooked) Good(context.Context, int, *string) error { return nil }

func (Crooked) GoodStream(context.Context, <-chan int, chan<- string) error { return nil }

func (Crooked) TwoArguments(context.Context, int) error { return nil }

func (Crooked) FourArguments(context.Context, int, *int, *int) error { return nil }

func (Crooked) Variadic(context.Context, int, ...*int) error { return nil }

func (Crooked) NoContext(int, int, *int) error { return nil }

func (Crooked) ReplyNoPointer(context.Context, int, int) error { return nil }

func (Crooked) NoError(context.Context, int, *int) {}

func (Crooked) OtherResult(context.Context, int, *int) int { return 0 }

func (Crooked) TwoResults(context.Context, int, *int) (int, error) { return 0, nil }

func (Crooked) ArgumentsBothWays(context.Context, chan int, chan<- int) error { return nil }

func (Crooked) RepliesWrongWay(context.Context, <-chan int, <-chan int) error { return nil }

func (Crooked) OneChannel(context.Context, <-chan int, *int) error { return nil }

func (Crooked) TypedSender(context.Context, int, *rpc.Sender[int]) error { return nil }

func (Crooked) TypedReceiver(context.Context, *rpc.Receiver[int], *int) error { return nil }

func (*Crooked) PointerReceiver(context.Context, int, *int) error { return nil }

func (Crooked) LocalOnly(context.Context, struct{ F func() }, *struct{}) error { return nil }

func TestRegisterTellsWhichMethodsItLeftOutAndWhy(t *testing.T) {
	t.Parallel()
	var buf rig.SyncBuffer
	s := rpc.NewServer(nil, rig.Protocol, rpc.WithServerLogger(slog.New(slog.NewTextHandler(&buf, nil))))
	if err := s.Register(Crooked{}); err != nil {
		t.Fatal(err)
	}
	infos := s.Services()
	if len(infos) != 1 || infos[0].Name != "Crooked" {
		t.Fatalf("services %+v", infos)
	}
	for i, want := range []struct {
		name, args, reply string
		kind              rpc.Kind
		local             bool
	}{
		{"Good", "int", "string", rpc.Unary, false},
		{"GoodStream", "int", "string", rpc.Streaming, false},
		{"LocalOnly", "struct { F func() }", "struct {}", rpc.Unary, true},
	} {
		if len(infos[0].Methods) != 3 {
			t.Fatalf("methods %+v", infos[0].Methods)
		}
		m := infos[0].Methods[i]
		if m.Name != want.name || m.Kind != want.kind || m.Args.String() != want.args || m.Reply.String() != want.reply || (m.LocalOnly != nil) != want.local {
			t.Errorf("got %+v", m)
		}
	}
	reasons := map[string]string{
		"TypedSender":       "serve it by the Handle of a ServerStream",
		"TypedReceiver":     "serve it by the Handle of a ServerStream",
		"TwoArguments":      "takes 2 arguments, not 3",
		"FourArguments":     "takes 4 arguments, not 3",
		"Variadic":          "variadic",
		"NoContext":         "first argument is int, not a context.Context",
		"ReplyNoPointer":    "reply is a int, not a pointer: make it a *int",
		"NoError":           "must return one value, an error",
		"OtherResult":       "must return one value, an error",
		"TwoResults":        "must return one value, an error",
		"ArgumentsBothWays": "wrong direction: make it a <-chan int",
		"RepliesWrongWay":   "wrong direction: make it a chan<- int",
		"OneChannel":        "only one is a channel",
		"PointerReceiver":   "receiver is a pointer: register a *servers_test.Crooked",
	}
	for name, reason := range infos[0].LeftOut {
		if want, ok := reasons[name]; !ok || !strings.Contains(reason, want) {
			t.Errorf("%s: %s", name, reason)
		}
		if !strings.Contains(buf.String(), name+": "+reason) {
			t.Errorf("the log does not say %s: %s", name, reason)
		}
	}
	if len(infos[0].LeftOut) != len(reasons) || !strings.Contains(buf.String(), "level=WARN") || !strings.Contains(buf.String(), "F func()") {
		t.Errorf("%d methods are left out; the log: %s", len(infos[0].LeftOut), buf.String())
	}
	// By its address the receiver has them all.
	if err := s.RegisterName("Pointer", &Crooked{}); err != nil {
		t.Fatal(err)
	}
	if reason, out := s.Services()[1].LeftOut["PointerReceiver"]; out {
		t.Errorf("a pointer's own method is left out: %s", reason)
	}
}

func TestMethodWithTooLongANameIsLeftOut(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
	// "Multiply" fits, by one byte; "ReplyAndError" does not.
	name := strings.Repeat("s", rpc.MaxServiceIDLength-len(".Multiply"))
	if err := s.RegisterName(name, rig.Arith{}); err != nil {
		t.Fatal(err)
	}
	info := s.Services()[0]
	if !slices.ContainsFunc(info.Methods, func(m rpc.MethodInfo) bool { return m.Name == "Multiply" }) ||
		!strings.Contains(info.LeftOut["ReplyAndError"], "256") || !strings.Contains(info.LeftOut["ReplyAndError"], "shorter") {
		t.Errorf("got %+v", info)
	}
	if err := s.RegisterName(name+"s.much.longer", rig.Arith{}); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("none of the methods fits: %v", err)
	}
}

type NoMethods struct{}

type BadMethods struct{}

func (BadMethods) Bad() {}

type unseen struct{ rig.Arith }

func TestRegisterRefusesWhatIsNoService(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
	if err := s.Register(&Crooked{}); err != nil {
		t.Fatal(err)
	}
	unnamed := struct{ rig.Arith }{}
	for what, c := range map[string]struct {
		err  error
		says string
	}{
		"nil":                {s.Register(nil), "nil"},
		"nil by name":        {s.RegisterName("A", nil), "nil"},
		"a nil pointer":      {s.Register((*Crooked)(nil)), "nil *servers_test.Crooked"},
		"an unnamed type":    {s.Register(unnamed), "RegisterName"},
		"an unexported type": {s.Register(new(unseen)), "unseen is not exported"},
		"no methods":         {s.Register(NoMethods{}), "servers_test.NoMethods has no exported methods"},
		"no good methods":    {s.Register(BadMethods{}), "Bad: it takes 0 arguments"},
		"a duplicate":        {s.Register(&Crooked{}), "already defined: Crooked"},
		"a taken name":       {s.RegisterName("Crooked", rig.Arith{}), "already defined: Crooked"},
		"an empty name":      {s.RegisterName("", rig.Arith{}), "empty name"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.says) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if n := len(s.Services()); n != 1 {
		t.Errorf("%d services are there, not 1", n)
	}
	if err := s.RegisterName("Named", unnamed); err != nil {
		t.Errorf("an unnamed type under a name: %v", err)
	}
}
