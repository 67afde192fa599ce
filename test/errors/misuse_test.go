package errors_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestWrongArgumentIsTheSameErrorLocallyAndRemotely(t *testing.T) {
	t.Parallel()
	local, wire := rig.Pair(t, rig.Arith{}, rig.Options{})
	for _, c := range []struct {
		what, method string
		args         any
		takes, given string
	}{
		{"another type", "Divide", "text", "rig.Args", "string"},
		{"a number", "Divide", 7, "rig.Args", "int"},
		{"another type for a pointer", "Multiply", []string{"a"}, "*rig.Args", "[]string"},
		{"a pointer to another type", "Multiply", new(string), "*rig.Args", "*string"},
		{"a struct for a number", "ReplyAndError", rig.Args{A: 1, B: 2}, "int", "rig.Args"},
		{"nil", "Divide", nil, "rig.Args", "nil"},
		{"nil for a pointer", "Multiply", nil, "*rig.Args", "nil"},
		{"a nil pointer", "Divide", (*rig.Args)(nil), "rig.Args", "nil *rig.Args"},
		{"a nil pointer for a pointer", "Multiply", (*rig.Args)(nil), "*rig.Args", "nil *rig.Args"},
		{"a nil pointer of another type", "Multiply", (*string)(nil), "*rig.Args", "nil *string"},
	} {
		t.Run(c.what, func(t *testing.T) {
			reply := func() any {
				if c.method == "Divide" {
					return new(rig.Quotient)
				}
				return new(int)
			}
			here := local.Client.CallContext(rig.Context(t), local.Dest, "Svc", c.method, c.args, reply())
			there := wire.Client.CallContext(rig.Context(t), wire.Dest, "Svc", c.method, c.args, reply())
			for _, err := range []error{here, there} {
				rig.CheckErr(t, err, rpc.ServerErr, codes.InvalidArgument, "Svc."+c.method, c.takes, c.given)
			}
			if local.Words(here) != wire.Words(there) {
				t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
			}
			// A context that cannot end is another way through a local call.
			if err := local.Client.Call(local.Dest, "Svc", c.method, c.args, reply()); fmt.Sprint(err) != fmt.Sprint(here) {
				t.Errorf("without a context: %v", err)
			}
			for _, s := range []rig.Setup{local, wire} {
				done := make(chan *rpc.Call, 1)
				_ = s.Client.Go(s.Dest, "Svc", c.method, c.args, reply(), done)
				if err := rig.Take(t, "the call is over", done).Error; s.Words(err) != local.Words(here) {
					t.Errorf("by Go: %v", err)
				}
			}
		})
	}
}

func TestWrongReplyNamesMethodAndTypes(t *testing.T) {
	t.Parallel()
	local, wire := rig.Pair(t, rig.Arith{}, rig.Options{})
	for _, c := range []struct {
		method            string
		args, reply       any
		local, wire, into string
	}{
		{"Divide", rig.Args{A: 1, B: 1}, new(string), "rig.Quotient", "map", "*string"},
		{"Divide", rig.Args{A: 1, B: 1}, new([]int), "rig.Quotient", "map", "*[]int"},
		{"Multiply", rig.Args{A: 1, B: 1}, new(rig.Quotient), "int", "integer", "*rig.Quotient"},
		{"Multiply", rig.Args{A: 1, B: 1}, new(chan int), "int", "chan int", ""},
	} {
		t.Run(c.method+" into "+fmt.Sprintf("%T", c.reply), func(t *testing.T) {
			before := reflect.ValueOf(c.reply).Elem().Interface()
			err := local.Client.Call(local.Dest, "Svc", c.method, c.args, c.reply)
			rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc."+c.method, c.local, c.into)
			// The client knows what arrived, and not the type that it was.
			err = wire.Client.Call(wire.Dest, "Svc", c.method, c.args, c.reply)
			rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc."+c.method, c.wire, c.into)
			if !reflect.DeepEqual(before, reflect.ValueOf(c.reply).Elem().Interface()) {
				t.Error("something was stored in the reply")
			}
		})
	}
}

func TestMethodDoesNotRunOnALocalMismatch(t *testing.T) {
	t.Parallel()
	svc := new(rig.RanCount)
	local, _ := rig.Pair(t, svc, rig.Options{})
	var n int
	var s string
	for _, c := range []struct {
		err  error
		kind rpc.ErrorType // the reply is the client's affair
	}{
		{local.Client.Call(local.Dest, "Svc", "Unary", "one", &s), rpc.ServerErr},
		{local.Client.Call(local.Dest, "Svc", "Unary", 1, &n), rpc.ClientErr},
		{local.Client.Stream(rig.Context(t), local.Dest, "Svc", "Streaming", make(chan string), make(chan string)), rpc.ServerErr},
		{local.Client.Stream(rig.Context(t), local.Dest, "Svc", "Streaming", make(chan int), make(chan int)), rpc.ClientErr},
	} {
		rig.CheckErr(t, c.err, c.kind, codes.InvalidArgument, "Svc.", "int", "string")
	}
	if n := svc.Ran.Load(); n != 0 {
		t.Errorf("ran %d times", n)
	}
}

func TestCallOfTheOtherKindSaysWhichItIs(t *testing.T) {
	t.Parallel()
	svc := new(rig.RanCount)
	local, wire := rig.Pair(t, svc, rig.Options{})
	for what, call := range map[string]func(s rig.Setup) error{
		"streaming; call it with Stream": func(s rig.Setup) error {
			return s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Streaming", 1, new(string))
		},
		"unary; call it with Call": func(s rig.Setup) error {
			args, replies := make(chan int, 1), make(chan string)
			args <- 1 // and it stays open
			err := s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Unary", args, replies)
			if _, open := <-replies; open {
				t.Error("a reply, or replies still open")
			}
			return err
		},
	} {
		here, there := call(local), call(wire)
		for _, err := range []error{here, there} {
			rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "Svc.", what)
		}
		if local.Words(here) != wire.Words(there) {
			t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
		}
	}
	if n := svc.Ran.Load(); n != 0 {
		t.Errorf("ran %d times", n)
	}
}

func TestUnknownNamesAreTheSameErrorLocallyAndRemotely(t *testing.T) {
	t.Parallel()
	local, wire := rig.Pair(t, rig.Arith{}, rig.Options{})
	for _, id := range []rpc.ServiceID{{Name: "Nobody", Method: "Multiply"}, {Name: "Svc", Method: "Nothing"}, {Name: "", Method: ""}} {
		here := local.Client.Call(local.Dest, id.Name, id.Method, 1, new(int))
		there := wire.Client.Call(wire.Dest, id.Name, id.Method, 1, new(int))
		for _, err := range []error{here, there} {
			rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "can't find")
		}
		if local.Words(here) != wire.Words(there) {
			t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
		}
	}
}

func TestLocalCallWithoutAServerIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []*rpc.Client{rpc.NewClient(nil, rig.Protocol), rpc.NewClient(rig.NewHost(t), rig.Protocol)} {
		t.Cleanup(func() { _ = c.Close() })
		err := c.Call(c.ID(), "Svc", "Multiply", rig.Args{A: 1, B: 1}, new(int))
		rig.CheckErr(t, err, rpc.ClientErr, codes.FailedPrecondition, "Svc.Multiply", "NewClientWithServer")
		replies := make(chan int)
		err = c.Stream(rig.Context(t), "", "Svc", "Divides", make(chan int), replies)
		rig.CheckErr(t, err, rpc.ClientErr, codes.FailedPrecondition, "Svc.Divides", "NewClientWithServer")
		if _, open := <-replies; open {
			t.Error("replies are open")
		}
	}
}

func TestMisusePanicsInTheCallersGoroutine(t *testing.T) {
	t.Parallel()
	one := []context.Context{context.Background()}
	reply, done := []any{new(int)}, []chan *rpc.Call{make(chan *rpc.Call, 1)}
	in, out := make(chan rig.Args), make(chan rig.Quotient)
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		c, dests := s.Client, []peer.ID{s.Dest}
		for _, m := range []struct {
			what, says string
			call       func()
		}{
			{"a nil reply", "must be a pointer, not nil", func() { _ = c.Call(s.Dest, "Svc", "M", 1, nil) }},
			{"a value as reply", "must be a pointer, not int", func() { _ = c.CallContext(one[0], s.Dest, "Svc", "M", 1, 1) }},
			{"a nil pointer as reply", "nil *int", func() { _ = c.Call(s.Dest, "Svc", "M", 1, (*int)(nil)) }},
			{"Go: a value as reply", "must be a pointer", func() { _ = c.Go(s.Dest, "Svc", "M", 1, 1, done[0]) }},
			{"Go: a done channel without capacity", "no capacity", func() { _ = c.Go(s.Dest, "Svc", "M", 1, new(int), make(chan *rpc.Call)) }},
			{"MultiCall: too few contexts", "as many", func() { c.MultiCall(nil, dests, "Svc", "M", 1, reply) }},
			{"MultiCall: too few destinations", "as many", func() { c.MultiCall(one, nil, "Svc", "M", 1, reply) }},
			{"MultiCall: too few replies", "as many", func() { c.MultiCall(one, dests, "Svc", "M", 1, nil) }},
			{"MultiCall: a value as reply", "must be a pointer", func() { c.MultiCall(one, dests, "Svc", "M", 1, []any{1}) }},
			{"MultiGo: too few contexts", "as many", func() { _ = c.MultiGo(nil, dests, "Svc", "M", 1, reply, done) }},
			{"MultiGo: too few destinations", "as many", func() { _ = c.MultiGo(one, nil, "Svc", "M", 1, reply, done) }},
			{"MultiGo: too few replies", "as many", func() { _ = c.MultiGo(one, dests, "Svc", "M", 1, nil, done) }},
			{"MultiGo: too few done channels", "as many", func() { _ = c.MultiGo(one, dests, "Svc", "M", 1, reply, nil) }},
			{"MultiGo: a done channel without capacity", "no capacity", func() {
				_ = c.MultiGo(one, dests, "Svc", "M", 1, reply, []chan *rpc.Call{make(chan *rpc.Call)})
			}},
			{"MultiGo: a value as reply", "must be a pointer", func() { _ = c.MultiGo(one, dests, "Svc", "M", 1, []any{1}, done) }},
		} {
			panicsHere(t, m.what, m.says, m.call)
		}
		for _, m := range []struct {
			what, says    string
			args, replies any
		}{
			{"no channel of arguments", "the arguments must be", 1, out},
			{"nil as arguments", "not nil", nil, out},
			{"a nil channel of arguments", "channel of arguments is nil", (chan rig.Args)(nil), out},
			{"arguments that cannot be received", "<-chan T, not chan<- rig.Args", (chan<- rig.Args)(in), out},
			{"no channel of replies", "the replies must be", in, &out},
			{"nil as replies", "not nil", in, nil},
			{"a nil channel of replies", "channel of replies is nil", in, (chan<- rig.Quotient)(nil)},
			{"replies that cannot be sent", "chan<- T, not <-chan rig.Quotient", in, (<-chan rig.Quotient)(out)},
		} {
			panicsHere(t, "Stream: "+m.what, m.says, func() { _ = c.Stream(one[0], s.Dest, "Svc", "M", m.args, m.replies) })
			panicsHere(t, "MultiStream: "+m.what, m.says, func() { c.MultiStream(one[0], dests, "Svc", "M", m.args, m.replies) })
		}
	})
}

// panicsHere expects f to panic where it can be recovered from.
func panicsHere(t *testing.T, what, says string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if r := fmt.Sprint(recover()); !strings.Contains(r, says) || !strings.Contains(r, "Svc.M") {
			t.Errorf("%s: panic %q does not say %q", what, r, says)
		}
	}()
	f()
}
