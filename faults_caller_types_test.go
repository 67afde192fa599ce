package rpc_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func TestWrongArgumentIsTheSameErrorLocallyAndRemotely(t *testing.T) {
	t.Parallel()
	local, wire := pair(t, Arith{}, options{})
	for _, c := range []struct {
		what, method string
		args         any
		takes, given string
	}{
		{"another type", "Divide", "text", "rpc_test.Args", "string"},
		{"a number", "Divide", 7, "rpc_test.Args", "int"},
		{"another type for a pointer", "Multiply", []string{"a"}, "*rpc_test.Args", "[]string"},
		{"a pointer to another type", "Multiply", new(string), "*rpc_test.Args", "*string"},
		{"a struct for a number", "ReplyAndError", Args{1, 2}, "int", "rpc_test.Args"},
		{"nil", "Divide", nil, "rpc_test.Args", "nil"},
		{"nil for a pointer", "Multiply", nil, "*rpc_test.Args", "nil"},
		{"a nil pointer", "Divide", (*Args)(nil), "rpc_test.Args", "nil *rpc_test.Args"},
		{"a nil pointer for a pointer", "Multiply", (*Args)(nil), "*rpc_test.Args", "nil *rpc_test.Args"},
		{"a nil pointer of another type", "Multiply", (*string)(nil), "*rpc_test.Args", "nil *string"},
	} {
		t.Run(c.what, func(t *testing.T) {
			reply := func() any {
				if c.method == "Divide" {
					return new(Quotient)
				}
				return new(int)
			}
			here := local.client.CallContext(testContext(t), local.dest, "Svc", c.method, c.args, reply())
			there := wire.client.CallContext(testContext(t), wire.dest, "Svc", c.method, c.args, reply())
			for _, err := range []error{here, there} {
				checkErr(t, err, rpc.ServerErr, rpc.CodeInvalidArgument, "Svc."+c.method, c.takes, c.given)
			}
			if local.words(here) != wire.words(there) {
				t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
			}
			// A context that cannot end is another way through a local call.
			if err := local.client.Call(local.dest, "Svc", c.method, c.args, reply()); fmt.Sprint(err) != fmt.Sprint(here) {
				t.Errorf("without a context: %v", err)
			}
			for _, s := range []setup{local, wire} {
				done := make(chan *rpc.Call, 1)
				_ = s.client.Go(s.dest, "Svc", c.method, c.args, reply(), done)
				if err := take(t, "the call is over", done).Error; s.words(err) != local.words(here) {
					t.Errorf("by Go: %v", err)
				}
			}
		})
	}
}

func TestWrongReplyNamesMethodAndTypes(t *testing.T) {
	t.Parallel()
	local, wire := pair(t, Arith{}, options{})
	for _, c := range []struct {
		method            string
		args, reply       any
		local, wire, into string
	}{
		{"Divide", Args{1, 1}, new(string), "rpc_test.Quotient", "map", "*string"},
		{"Divide", Args{1, 1}, new([]int), "rpc_test.Quotient", "map", "*[]int"},
		{"Multiply", Args{1, 1}, new(Quotient), "int", "integer", "*rpc_test.Quotient"},
		{"Multiply", Args{1, 1}, new(chan int), "int", "chan int", ""},
	} {
		t.Run(c.method+" into "+fmt.Sprintf("%T", c.reply), func(t *testing.T) {
			before := reflect.ValueOf(c.reply).Elem().Interface()
			err := local.client.Call(local.dest, "Svc", c.method, c.args, c.reply)
			checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc."+c.method, c.local, c.into)
			// The client knows what arrived, and not the type that it was.
			err = wire.client.Call(wire.dest, "Svc", c.method, c.args, c.reply)
			checkErr(t, err, rpc.ClientErr, rpc.CodeInvalidArgument, "Svc."+c.method, c.wire, c.into)
			if !reflect.DeepEqual(before, reflect.ValueOf(c.reply).Elem().Interface()) {
				t.Error("something was stored in the reply")
			}
		})
	}
}

// ranCount counts what runs.
type ranCount struct{ ran atomic.Int32 }

func (c *ranCount) Unary(_ context.Context, _ int, _ *string) error {
	c.ran.Add(1)
	return nil
}

func (c *ranCount) Streaming(_ context.Context, in <-chan int, _ chan<- string) error {
	c.ran.Add(1)
	for range in {
	}
	return nil
}

func TestMethodDoesNotRunOnALocalMismatch(t *testing.T) {
	t.Parallel()
	svc := new(ranCount)
	local, _ := pair(t, svc, options{})
	var n int
	var s string
	for _, c := range []struct {
		err  error
		kind rpc.ErrorType // the reply is the client's affair
	}{
		{local.client.Call(local.dest, "Svc", "Unary", "one", &s), rpc.ServerErr},
		{local.client.Call(local.dest, "Svc", "Unary", 1, &n), rpc.ClientErr},
		{local.client.Stream(testContext(t), local.dest, "Svc", "Streaming", make(chan string), make(chan string)), rpc.ServerErr},
		{local.client.Stream(testContext(t), local.dest, "Svc", "Streaming", make(chan int), make(chan int)), rpc.ClientErr},
	} {
		checkErr(t, c.err, c.kind, rpc.CodeInvalidArgument, "Svc.", "int", "string")
	}
	if n := svc.ran.Load(); n != 0 {
		t.Errorf("ran %d times", n)
	}
}

func TestCallOfTheOtherKindSaysWhichItIs(t *testing.T) {
	t.Parallel()
	svc := new(ranCount)
	local, wire := pair(t, svc, options{})
	for what, call := range map[string]func(s setup) error{
		"streaming; call it with Stream": func(s setup) error {
			return s.client.CallContext(testContext(t), s.dest, "Svc", "Streaming", 1, new(string))
		},
		"unary; call it with Call": func(s setup) error {
			args, replies := make(chan int, 1), make(chan string)
			args <- 1 // and it stays open
			err := s.client.Stream(testContext(t), s.dest, "Svc", "Unary", args, replies)
			if _, open := <-replies; open {
				t.Error("a reply, or replies still open")
			}
			return err
		},
	} {
		here, there := call(local), call(wire)
		for _, err := range []error{here, there} {
			checkErr(t, err, rpc.ServerErr, rpc.CodeUnimplemented, "Svc.", what)
		}
		if local.words(here) != wire.words(there) {
			t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
		}
	}
	if n := svc.ran.Load(); n != 0 {
		t.Errorf("ran %d times", n)
	}
}

func TestUnknownNamesAreTheSameErrorLocallyAndRemotely(t *testing.T) {
	t.Parallel()
	local, wire := pair(t, Arith{}, options{})
	for _, id := range []rpc.ServiceID{{Name: "Nobody", Method: "Multiply"}, {Name: "Svc", Method: "Nothing"}, {Name: "", Method: ""}} {
		here := local.client.Call(local.dest, id.Name, id.Method, 1, new(int))
		there := wire.client.Call(wire.dest, id.Name, id.Method, 1, new(int))
		for _, err := range []error{here, there} {
			checkErr(t, err, rpc.ServerErr, rpc.CodeUnimplemented, "can't find")
		}
		if local.words(here) != wire.words(there) {
			t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
		}
	}
}

func TestLocalCallWithoutAServerIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []*rpc.Client{rpc.NewClient(nil, testProtocol), rpc.NewClient(newHost(t), testProtocol)} {
		t.Cleanup(func() { _ = c.Close() })
		err := c.Call(c.ID(), "Svc", "Multiply", Args{1, 1}, new(int))
		checkErr(t, err, rpc.ClientErr, rpc.CodeFailedPrecondition, "Svc.Multiply", "NewClientWithServer")
		replies := make(chan int)
		err = c.Stream(testContext(t), "", "Svc", "Divides", make(chan int), replies)
		checkErr(t, err, rpc.ClientErr, rpc.CodeFailedPrecondition, "Svc.Divides", "NewClientWithServer")
		if _, open := <-replies; open {
			t.Error("replies are open")
		}
	}
}

func TestMisusePanicsInTheCallersGoroutine(t *testing.T) {
	t.Parallel()
	one := []context.Context{context.Background()}
	reply, done := []any{new(int)}, []chan *rpc.Call{make(chan *rpc.Call, 1)}
	in, out := make(chan Args), make(chan Quotient)
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		c, dests := s.client, []peer.ID{s.dest}
		for _, m := range []struct {
			what, says string
			call       func()
		}{
			{"a nil reply", "must be a pointer, not nil", func() { _ = c.Call(s.dest, "Svc", "M", 1, nil) }},
			{"a value as reply", "must be a pointer, not int", func() { _ = c.CallContext(one[0], s.dest, "Svc", "M", 1, 1) }},
			{"a nil pointer as reply", "nil *int", func() { _ = c.Call(s.dest, "Svc", "M", 1, (*int)(nil)) }},
			{"Go: a value as reply", "must be a pointer", func() { _ = c.Go(s.dest, "Svc", "M", 1, 1, done[0]) }},
			{"Go: a done channel without capacity", "no capacity", func() { _ = c.Go(s.dest, "Svc", "M", 1, new(int), make(chan *rpc.Call)) }},
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
			{"a nil channel of arguments", "channel of arguments is nil", (chan Args)(nil), out},
			{"arguments that cannot be received", "<-chan T, not chan<- rpc_test.Args", (chan<- Args)(in), out},
			{"no channel of replies", "the replies must be", in, &out},
			{"nil as replies", "not nil", in, nil},
			{"a nil channel of replies", "channel of replies is nil", in, (chan<- Quotient)(nil)},
			{"replies that cannot be sent", "chan<- T, not <-chan rpc_test.Quotient", in, (<-chan Quotient)(out)},
		} {
			panicsHere(t, "Stream: "+m.what, m.says, func() { _ = c.Stream(one[0], s.dest, "Svc", "M", m.args, m.replies) })
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
