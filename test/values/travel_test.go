package values_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// partly is a type of v0.6 programs: what of it cannot travel is mostly nil.
type partly struct {
	N      int
	Big    *big.Int
	Amount big.Int
	Hook   func()
	Wake   chan int
	Err    error
	List   []func()
	ByName map[string]chan<- int
	Deep   *partly
	Any    any
}

func lastZero() big.Int {
	var n big.Int
	n.Sub(big.NewInt(5), big.NewInt(5)) // is not zero in memory
	return n
}

// everyWay calls a service of echoing[T] that is registered as "Svc", in every
// way, and returns what arrives.
func everyWay[T any](t *testing.T, s rig.Setup, v T) map[string]func() (T, error) {
	t.Helper()
	echo := rpc.NewMethod[T, T]("Svc", "Echo")
	echoes := rpc.NewDuplex[T, T]("Svc", "Echoes")
	ctx := rig.Context(t)
	byChannels := func(stream func(args, replies any) error) (got T, err error) {
		args, replies := make(chan T, 1), make(chan T)
		args <- v
		close(args)
		all := rig.Collect(replies)
		err = stream(args, replies)
		if items := all(); len(items) == 1 {
			got = items[0]
		} else if err == nil {
			err = fmt.Errorf("%d items", len(items))
		}
		return got, err
	}
	return map[string]func() (T, error){
		"by name": func() (got T, err error) {
			err = s.Client.CallContext(ctx, s.Dest, "Svc", "Echo", v, &got)
			return got, err
		},
		"typed": func() (T, error) { return echo.Call(ctx, s.Client, s.Dest, v) },
		"MultiCall": func() (got T, err error) {
			err = s.Client.MultiCall([]context.Context{ctx}, []peer.ID{s.Dest}, "Svc", "Echo", v, []any{&got})[0]
			return got, err
		},
		"CallAll": func() (got T, err error) {
			r := echo.CallAll(ctx, s.Client, []peer.ID{s.Dest}, v)
			for _, res := range r {
				got, err = res.Value, res.Err
			}
			return got, err
		},
		"Stream": func() (T, error) {
			return byChannels(func(args, replies any) error { return s.Client.Stream(ctx, s.Dest, "Svc", "Echoes", args, replies) })
		},
		"MultiStream": func() (T, error) {
			return byChannels(func(args, replies any) error {
				return s.Client.MultiStream(ctx, []peer.ID{s.Dest}, "Svc", "Echoes", args, replies)[0]
			})
		},
		"typed stream": func() (got T, err error) {
			call := echoes.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			if err := call.Send(ctx, v); err != nil {
				return got, err
			}
			return call.Receive(ctx)
		},
	}
}

// arrives calls with v in every way over every transport, and compares.
func arrives[T any](t *testing.T, v T) {
	t.Helper()
	rig.OverAll(t, echoing[T]{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for way, call := range everyWay(t, s, v) {
			if got, err := call(); err != nil || !sameValue(got, v) {
				t.Errorf("%s: %+v arrives as %+v: %v", way, v, got, err)
			}
		}
	})
}

func TestPartsThatAreNilTravel(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]partly{
		"nothing": {N: 1},
		"deep":    {N: 1, List: []func(){nil, nil}, ByName: map[string]chan<- int{"a": nil}, Deep: &partly{N: 2}},
		"any":     {N: 1, Any: int64(5)},
	} {
		t.Run(name, func(t *testing.T) { arrives(t, v) })
	}
	t.Run("zero numbers", func(t *testing.T) {
		rig.OverAll(t, echoing[partly]{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
			zero := lastZero()
			for way, call := range everyWay(t, s, partly{Big: &zero, Amount: lastZero()}) {
				if got, err := call(); err != nil || got.Big == nil || got.Big.Sign() != 0 || got.Amount.Sign() != 0 {
					t.Errorf("%s: %v, %v", way, got, err)
				}
			}
		})
	})
}

func TestAPartThatIsThereAndCannotTravelIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		v     partly
		names []string
	}{
		"func":        {partly{Hook: func() {}}, []string{"field Hook", "func()"}},
		"chan":        {partly{Wake: make(chan int)}, []string{"field Wake", "chan int"}},
		"number":      {partly{Big: big.NewInt(5)}, []string{"field Big", "big.Int", "text form"}},
		"own number":  {partly{Amount: *big.NewInt(5)}, []string{"field Amount", "big.Int"}},
		"list":        {partly{List: []func(){nil, func() {}}}, []string{"field List[1]", "func()"}},
		"map":         {partly{ByName: map[string]chan<- int{"a": make(chan int)}}, []string{"field ByName[]", "chan<- int"}},
		"deep":        {partly{Deep: &partly{Deep: &partly{Hook: func() {}}}}, []string{"field Deep.Deep.Hook", "func()"}},
		"in an any":   {partly{Any: partly{Hook: func() {}}}, []string{"field Any", "values_test.partly", "field Hook"}},
		"a plain any": {partly{Any: make(chan int)}, []string{"field Any", "chan int"}},
		"an error":    {partly{Err: errors.New("x")}, []string{"field Err", "interface error"}},
	}
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{})
		if err := s.Server.RegisterName("Svc", echoing[partly]{}); err != nil {
			t.Fatal(err)
		}
		for name, c := range cases {
			for way, call := range everyWay(t, s, c.v) {
				_, err := call()
				if rpc.CodeOf(err) != codes.InvalidArgument {
					t.Errorf("%s, %s: got %v", name, way, err)
					continue
				}
				rig.CheckNames(t, err, append(c.names, "cannot travel", "Svc.Echo")...)
			}
		}
	})
	// Locally nothing is encoded.
	s := rig.Local.Setup(t, rig.Options{})
	if err := s.Server.RegisterName("Svc", echoing[partly]{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		for way, call := range everyWay(t, s, c.v) {
			if got, err := call(); err != nil || reflect.ValueOf(got).IsZero() {
				t.Errorf("%s, %s, locally: %v, %v", name, way, got, err)
			}
		}
	}
}

// What a peer of another program sends for a part that only nil can stand for is
// refused before anything is made of it.
func TestWhatStandsInPlaceOfNilIsRefused(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{})
		if err := s.Server.RegisterName("Svc", echoing[partly]{}); err != nil {
			t.Fatal(err)
		}
		for field, v := range map[string]any{"Wake": []int{1}, "Hook": 1, "Err": "x", "Deep.Deep.Wake": 1, "List[1]": 1} {
			name, rest, nested := strings.Cut(field, ".")
			sent := map[string]any{name: v}
			switch {
			case nested:
				sent = map[string]any{name: map[string]any{"Deep": map[string]any{rest[len("Deep."):]: v}}}
			case field == "List[1]":
				sent = map[string]any{"List": []any{nil, v}}
			}
			err := s.Client.Call(s.Dest, "Svc", "Echo", sent, new(partly))
			rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Echo", "the argument's type values_test.partly cannot travel", "field "+field+" is ")
		}
	})
}

func TestAReplyWithAPartThatCannotTravelIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{})
		give := rpc.NewMethod[int, partly]("Svc", "Give")
		gives := rpc.NewServerStream[int, partly]("Svc", "Gives")
		v := partly{Hook: func() {}}
		if err := errors.Join(
			give.Handle(s.Server, func(context.Context, int) (partly, error) { return v, nil }),
			gives.Handle(s.Server, func(ctx context.Context, _ int, out *rpc.Sender[partly]) error { return out.Send(ctx, v) }),
		); err != nil {
			t.Fatal(err)
		}
		_, err := give.Call(rig.Context(t), s.Client, s.Dest, 1)
		rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, "Svc.Give", "field Hook", "func()")
		for _, err = range gives.Call(rig.Context(t), s.Client, s.Dest, 1) {
		}
		rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Gives", "field Hook", "func()")
	})
}

func TestRegisterHandleAndCheckNameThePartThatStaysLocal(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a, b := rig.NewHosts(t)
	server := rpc.NewServer(b, rig.Protocol, rpc.WithDescriptions(true), rpc.WithServerLogger(slog.New(slog.NewTextHandler(&log, nil))))
	client := rig.Client(t, a)
	t.Cleanup(func() { _ = server.Close() })
	type onlyErr struct{ Err error }
	type plain struct{ N, n int }
	handled := rpc.NewMethod[int, onlyErr]("Handled", "Echo")
	plainly := rpc.NewMethod[plain, plain]("Plain", "Echo")
	if err := errors.Join(
		server.RegisterName("Svc", echoing[partly]{}),
		handled.Handle(server, func(context.Context, int) (onlyErr, error) { return onlyErr{}, nil }),
		plainly.Handle(server, func(_ context.Context, p plain) (plain, error) { return plain{N: p.N + p.n}, nil }),
	); err != nil {
		t.Fatal(err)
	}
	told := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(told) != 3 {
		t.Errorf("the log says %q", told)
	}
	for i, names := range [][]string{
		{"level=WARN", "service=Svc", "method=Echo", "values_test.partly", "field Big", "big.Int"},
		{"level=WARN", "service=Svc", "method=Echoes", "field Big"},
		{"level=WARN", "service=Handled", "reply", "onlyErr", "field Err", "interface error"},
	} {
		for _, name := range names {
			if i < len(told) && !strings.Contains(told[i], name) {
				t.Errorf("line %d does not name %q: %s", i, name, told[i])
			}
		}
	}
	echo := rpc.NewMethod[partly, partly]("Svc", "Echo")
	report, err := describe.Check(rig.Context(t), client, b.ID(), echo, handled, plainly)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Methods[2].Problems) > 0 {
		t.Errorf("Check says of unexported fields: %v", report)
	}
	for i, field := range []string{"field Big", "field Err"} {
		if text := fmt.Sprint(report.Methods[i].Problems); !strings.Contains(text, field) || !strings.Contains(text, "cannot travel") {
			t.Errorf("Check says %v", report)
		}
	}
}

// refusingForm refuses what it makes of its zero value, by an error, or by a panic.
type (
	refusingForm struct{ s string }
	panicking    struct{ s string }
)

func (r refusingForm) MarshalBinary() ([]byte, error) { return []byte("<" + r.s + ">"), nil }

func (r *refusingForm) UnmarshalBinary(b []byte) error {
	r.s = "half"
	if len(b) <= 2 {
		return errors.New("too short")
	}
	r.s = string(b[1 : len(b)-1])
	return nil
}

func (r panicking) MarshalBinary() ([]byte, error) { return []byte(r.s), nil }

func (r *panicking) UnmarshalBinary(b []byte) error {
	r.s = string(b[:1]) + string(b[1:])
	return nil
}

type (
	hasEmpty[T comparable] struct {
		Before int
		Field  T
		List   []T
		Array  [2]T
		Key    map[T]int
		Value  map[string]T
		Ptr    *T
		Inner  struct{ T T }
		After  string
	}
	embedsID struct{ peer.ID }
)

// emptyArrives makes round trips of the zero T anywhere, beside other values. What
// is written as nil is nil behind a pointer, as v0.6 writes it.
func emptyArrives[T comparable](t *testing.T, other T, asNil bool) {
	t.Helper()
	var zero T
	v := hasEmpty[T]{
		Before: 1, List: []T{zero, other, zero}, Array: [2]T{other, zero}, Key: map[T]int{zero: 1, other: 2},
		Value: map[string]T{"zero": zero, "other": other}, Ptr: &zero, After: "after",
	}
	if asNil {
		v.Ptr = &other
	}
	t.Run("inside", func(t *testing.T) { arrives(t, v) })
	t.Run("zero", func(t *testing.T) { arrives(t, hasEmpty[T]{}) })
	t.Run("top", func(t *testing.T) { arrives(t, zero) })
	t.Run("pointer", func(t *testing.T) { arrives(t, v.Ptr) })
	t.Run("list", func(t *testing.T) { arrives(t, []T{zero, other}) })
	t.Run("map", func(t *testing.T) { arrives(t, map[T]T{zero: other, other: zero}) })
	t.Run("whole", func(t *testing.T) { arrives(t, []T{other}) })
}

func TestZeroValuesThatTheirDecoderRefusesTravel(t *testing.T) {
	t.Parallel()
	id, err := peer.Decode("12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("peer.ID", func(t *testing.T) { emptyArrives(t, id, false) })
	t.Run("cid.Cid", func(t *testing.T) {
		emptyArrives(t, cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"), true)
	})
	t.Run("an error", func(t *testing.T) { emptyArrives(t, refusingForm{"x"}, false) })
	t.Run("a panic", func(t *testing.T) { emptyArrives(t, panicking{"x"}, false) })
	t.Run("AddrInfo", func(t *testing.T) { arrives(t, peer.AddrInfo{}) })
	t.Run("AddrInfos", func(t *testing.T) {
		arrives(t, []*peer.AddrInfo{{}, {ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/1")}}})
	})
	t.Run("embedded", func(t *testing.T) { arrives(t, []embedsID{{}, {id}}) })
}

func TestAnArgumentOfTheRightTypeThatDoesNotDecodeIsToldWithFieldAndCause(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.Setup(t, rig.Options{})
		func() {
			type numbers struct {
				List []struct{ N int8 }
				ID   refusingForm
			}
			err := errors.Join(
				rpc.NewMethod[numbers, int]("Svc", "Take").Handle(s.Server, func(context.Context, numbers) (int, error) { return 1, nil }),
				rpc.NewClientStream[numbers, int]("Svc", "Takes").Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[numbers]) (int, error) {
					_, err := in.Receive(ctx)
					return 1, err
				}))
			if err != nil {
				t.Fatal(err)
			}
		}()
		type numbers struct {
			List []struct{ N int }
			ID   string
		}
		for field, arg := range map[string]numbers{
			"List[1].N": {List: []struct{ N int }{{1}, {300}}, ID: "abc"},
			"ID":        {List: []struct{ N int }{{1}}, ID: "a"},
		} {
			_, err := rpc.NewMethod[numbers, int]("Svc", "Take").Call(rig.Context(t), s.Client, s.Dest, arg)
			rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Take", "values_test.numbers", "field "+field)
			if text := err.Error(); strings.Contains(text, "pass a value of that type") || field == "ID" && !strings.Contains(text, "too short") {
				t.Error(err)
			}
			call := rpc.NewClientStream[numbers, int]("Svc", "Takes").Open(rig.Context(t), s.Client, s.Dest)
			_ = call.Send(rig.Context(t), arg)
			_, err = call.Finish(rig.Context(t))
			rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc.Takes", "values_test.numbers", "field "+field, "argument 1 of the stream")
		}
	})
}
