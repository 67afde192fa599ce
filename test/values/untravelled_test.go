package values_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Types that cannot travel.
type (
	withChan  struct{ Inner struct{ C chan int } }
	withFunc  struct{ List []map[string]func() }
	withIface struct{ R io.Reader }
	chanInPtr struct{ P *withChan }
	withText  struct{ T textOnly }
)

type untravelled struct{}

func (untravelled) TakesChan(_ context.Context, v withChan, n *int) error {
	*n = cap(v.Inner.C)
	return nil
}

func (untravelled) TakesFunc(_ context.Context, v withFunc, n *int) error {
	*n = len(v.List)
	return nil
}

func (untravelled) TakesIface(_ context.Context, v withIface, n *int) error {
	b, err := io.ReadAll(v.R)
	*n = len(b)
	return err
}

func (untravelled) TakesText(_ context.Context, v withText, n *int) error {
	*n = len(v.T.s)
	return nil
}

func (untravelled) TakesPtr(_ context.Context, v *chanInPtr, n *int) error {
	*n = cap(v.P.Inner.C)
	return nil
}

func (untravelled) GivesChan(_ context.Context, n int, v *withChan) error {
	v.Inner.C = make(chan int, n)
	return nil
}

func (untravelled) GivesFunc(_ context.Context, n int, v *withFunc) error {
	*v = funcs(n)
	return nil
}

func (untravelled) TakesChans(_ context.Context, in <-chan withChan, out chan<- int) error {
	for v := range in {
		out <- cap(v.Inner.C)
	}
	return nil
}

func (untravelled) GivesChans(_ context.Context, in <-chan int, out chan<- withChan) error {
	for n := range in {
		var v withChan
		v.Inner.C = make(chan int, n)
		out <- v
	}
	return nil
}

func (untravelled) Plain(_ context.Context, n int, r *int) error {
	*r = n
	return nil
}

func chanOf(n int) (v withChan) {
	v.Inner.C = make(chan int, n)
	return v
}

func funcs(n int) withFunc {
	v := withFunc{make([]map[string]func(), n)}
	v.List[n-1] = map[string]func(){"f": func() {}}
	return v
}

func TestTypesThatCannotTravelAreAnErrorNamingTypeAndField(t *testing.T) {
	t.Parallel()
	ofChan, ofFunc := chanOf(3), funcs(3)
	deep := &chanInPtr{&ofChan}
	cases := []struct {
		method string
		args   any
		reply  any
		size   func(reply any) int
		kind   rpc.ErrorType // where it happens
		names  []string
	}{
		{"TakesChan", ofChan, new(int), nil, rpc.ClientErr, []string{"values_test.withChan", "Inner.C", "chan int"}},
		{"TakesFunc", ofFunc, new(int), nil, rpc.ClientErr, []string{"values_test.withFunc", "List", "func()"}},
		{"TakesPtr", deep, new(int), nil, rpc.ClientErr, []string{"values_test.chanInPtr", "P.Inner.C", "chan int"}},
		{"TakesText", withText{textOnly{"abc"}}, new(int), nil, rpc.ClientErr, []string{"values_test.withText", "field T", "values_test.textOnly", "text form"}},
		{"TakesIface", withIface{strings.NewReader("abc")}, new(int), nil, rpc.ClientErr, []string{"values_test.withIface", "R", "io.Reader"}},
		{"GivesChan", 3, new(withChan), func(v any) int { return cap(v.(*withChan).Inner.C) }, rpc.ServerErr, []string{"values_test.withChan", "Inner.C", "chan int"}},
		{"GivesFunc", 3, new(withFunc), func(v any) int { return len(v.(*withFunc).List) }, rpc.ServerErr, []string{"values_test.withFunc", "List", "func()"}},
	}
	rig.OverAll(t, untravelled{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, c := range cases {
			c.reply = reflect.New(reflect.TypeOf(c.reply).Elem()).Interface() // no other transport's
			err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", c.method, c.args, c.reply)
			if s.Dest == s.Sender {
				n := 0
				if p, ok := c.reply.(*int); ok {
					n = *p
				} else {
					n = c.size(c.reply)
				}
				if err != nil || n != 3 {
					t.Errorf("%s, locally: got %d, %v", c.method, n, err)
				}
				continue
			}
			var e *rpc.Error
			if !errors.As(err, &e) || e.Type() != c.kind {
				t.Errorf("%s: got %v", c.method, err)
				continue
			}
			rig.CheckNames(t, err, append(c.names, "Svc."+c.method)...)
		}
	})
}

func TestStreamsOfTypesThatCannotTravel(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, untravelled{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		local := s.Dest == s.Sender
		t.Run("arguments", func(t *testing.T) {
			err := rig.StreamOnce[int](t, s, "TakesChans", chanOf(3))
			switch {
			case local && err != nil:
				t.Error(err)
			case !local && !rpc.IsClientError(err):
				t.Errorf("got %v", err)
			case !local:
				rig.CheckNames(t, err, "Svc.TakesChans", "withChan", "Inner.C", "chan int", "argument 1")
			}
		})
		t.Run("replies", func(t *testing.T) {
			err := rig.StreamOnce[withChan](t, s, "GivesChans", 3)
			switch {
			case local && err != nil:
				t.Error(err)
			case !local && !rpc.IsServerError(err):
				t.Errorf("got %v", err)
			case !local:
				rig.CheckNames(t, err, "Svc.GivesChans", "withChan", "Inner.C", "chan int", "reply 1")
			}
		})
	})
}

// givesReader replies with what fits a withIface but for the interface.
type givesReader struct{}

func (givesReader) Once(_ context.Context, text string, r *map[string]string) error {
	*r = map[string]string{"R": text}
	return nil
}

func (givesReader) Often(_ context.Context, in <-chan string, out chan<- map[string]string) error {
	for text := range in {
		out <- map[string]string{"R": text}
	}
	return nil
}

func TestRepliesThatCannotBeReceivedAreAnErrorNamingTypeAndField(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, givesReader{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		if s.Dest == s.Sender {
			return // where the method's type and the caller's are what does not fit
		}
		for method, err := range map[string]error{
			"Once":  s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Once", "abc", new(withIface)),
			"Often": rig.StreamOnce[withIface](t, s, "Often", "abc"),
		} {
			if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.InvalidArgument {
				t.Errorf("%s: got %v", method, err)
				continue
			}
			rig.CheckNames(t, err, "Svc."+method, "the reply's type *values_test.withIface", "field R", "io.Reader")
		}
	})
}

func TestServicesTellsWhatIsOnlyLocal(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, rig.Protocol, rig.Quiet)
	if err := s.RegisterName("Svc", untravelled{}); err != nil {
		t.Fatal(err)
	}
	field := map[string]string{
		"TakesChan": "Inner.C", "TakesFunc": "List", "TakesIface": "R", "TakesPtr": "P.Inner.C", "TakesText": "T",
		"GivesChan": "Inner.C", "GivesFunc": "List", "TakesChans": "Inner.C", "GivesChans": "Inner.C", "Plain": "",
	}
	methods := s.Services()[0].Methods
	if len(methods) != len(field) {
		t.Fatalf("%d methods are told, not %d", len(methods), len(field))
	}
	for _, m := range methods {
		switch want := field[m.Name]; {
		case want == "" && m.LocalOnly != nil, want != "" && m.LocalOnly == nil:
			t.Errorf("%s: got %v", m.Name, m.LocalOnly)
		case want != "":
			typ, side := m.Args, "argument"
			if strings.HasPrefix(m.Name, "Gives") {
				typ, side = m.Reply, "reply"
			}
			rig.CheckNames(t, m.LocalOnly, side, typ.String(), "field "+want)
		}
	}
}

// What an interface holds is known only when it is sent.
func TestValuesInInterfacesThatCannotTravelAreAnError(t *testing.T) {
	t.Parallel()
	type only struct{ F func() }
	f := func() {}
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, echoAll[any]{[]any{only{f}}}, rig.Options{})
		for what, arg := range map[string]any{
			"only":     only{f},
			"any":      []any{only{f}},
			"pointer":  []any{&only{f}},
			"array":    map[string]any{"a": [1]func(){f}},
			"itself":   []any{f},
			"slice":    holds[any]{1, []only{{f}}},
			"in a map": []any{map[string]only{"a": {f}}},
			"channel":  []any{make(chan int)},
		} {
			err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", arg, new(any))
			if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "cannot travel") {
				t.Errorf("%s: got %v", what, err)
			}
		}
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Give", 1, new(any))
		rig.CheckErr(t, err, rpc.ServerErr, codes.Internal, "only", "field F is a func")
	})
}
