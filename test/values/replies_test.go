package values_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// stored is a reply of all that a second answer could be mixed with a first in.
type stored struct {
	M     map[string]int
	S     string `codec:",omitempty"`
	B     []byte
	L     []int
	P     *int
	A     any
	Inner struct{ In []string }
	key   int // which never travels
}

func pointer[T any](v T) *T { return &v }

var storedAnswers = []stored{
	{M: map[string]int{"a": 1}, S: "x", B: []byte("AAAA"), L: []int{1, 2, 3}, P: pointer(1), A: int64(1)},
	{M: map[string]int{"b": 2}, B: []byte("BB"), L: []int{9}, P: pointer(2), A: []any{int64(1)}},
	{},
}

func init() { storedAnswers[0].Inner.In = []string{"1", "2"} }

// storing answers by number.
type storing struct{}

func (storing) Get(_ context.Context, n int, r *stored) error {
	if n < 0 {
		*r = storedAnswers[1]
		return errors.New("beside a reply")
	}
	*r = storedAnswers[n]
	return nil
}

func (storing) Bytes(_ context.Context, b []byte, r *[]byte) error { *r = b; return nil }

func (storing) Any(_ context.Context, n int, r *any) error {
	*r = []any{int64(7), nil, []byte("bytes")}[n]
	return nil
}

func (storing) Panic(context.Context, int, *stored) error { panic("on purpose") }

func (storing) Exit(_ context.Context, _ int, r *stored) error {
	*r = storedAnswers[0]
	runtime.Goexit()
	return nil
}

func (storing) Wide(_ context.Context, _ int, r *wideReply) error {
	*r = wideReply{First: "new", Second: 300}
	return nil
}

func (storing) Words(_ context.Context, in <-chan string, out chan<- string) error {
	for s := range in {
		out <- s
	}
	return nil
}

func (storing) Wait(ctx context.Context, _ int, r *stored) error {
	*r = storedAnswers[0]
	<-ctx.Done()
	return ctx.Err()
}

type (
	wideReply struct {
		First  string
		Second int
	}
	narrowReply struct {
		First  string
		Second int8
	}
)

// copied is a deep copy, to compare with.
func copied(s stored) string {
	p := "nil"
	if s.P != nil {
		p = fmt.Sprint(*s.P)
	}
	return fmt.Sprintf("%v %q %q %v %v %v %v %d", s.M, s.S, s.B, s.L, p, s.A, s.Inner, s.key)
}

// byName are the ways of one call by name.
var byName = map[string]func(ctx context.Context, s rig.Setup, method string, arg, reply any) error{
	"Call": func(ctx context.Context, s rig.Setup, method string, arg, reply any) error {
		return s.Client.CallContext(ctx, s.Dest, "Svc", method, arg, reply)
	},
	"Go": func(ctx context.Context, s rig.Setup, method string, arg, reply any) error {
		done := make(chan *rpc.Call, 1)
		_ = s.Client.GoContext(ctx, s.Dest, "Svc", method, arg, reply, done)
		return (<-done).Error
	},
	"MultiCall": func(ctx context.Context, s rig.Setup, method string, arg, reply any) error {
		return s.Client.MultiCall([]context.Context{ctx}, []peer.ID{s.Dest}, "Svc", method, arg, []any{reply})[0]
	},
}

// overNames runs f over every transport and every way to call by name.
func overNames(t *testing.T, o rig.Options, f func(t *testing.T, s rig.Setup, call func(method string, arg, reply any) error)) {
	t.Helper()
	rig.OverAll(t, storing{}, o, func(t *testing.T, s rig.Setup) {
		for name, call := range byName {
			t.Run(name, func(t *testing.T) {
				f(t, s, func(method string, arg, reply any) error { return call(rig.Context(t), s, method, arg, reply) })
			})
		}
	})
}

func TestAnAnswerReplacesTheOneBefore(t *testing.T) {
	t.Parallel()
	overNames(t, rig.Options{}, func(t *testing.T, _ rig.Setup, call func(string, any, any) error) {
		var reply stored
		for _, n := range []int{0, 1, 0, 2, -1} {
			before, was := reply, copied(reply)
			reply.key = 5
			err := call("Get", n, &reply)
			want := storedAnswers[max(n, 0)]
			if n < 0 {
				want = storedAnswers[1]
			}
			if (err != nil) != (n < 0) || copied(reply) != copied(want) {
				t.Errorf("the answer is %s, not %s: %v", copied(reply), copied(want), err)
			}
			if copied(before) != was {
				t.Errorf("the answer before was %s and is %s", was, copied(before))
			}
		}
		data := make([]byte, 4, 100)
		before := data
		for _, want := range []string{"BB", "", "CCCC"} {
			if err := call("Bytes", []byte(want), &data); err != nil || string(data) != want {
				t.Errorf("bytes are %q, not %q: %v", data, want, err)
			}
		}
		if string(before) != "\x00\x00\x00\x00" || string(before[:6]) != "\x00\x00\x00\x00\x00\x00" {
			t.Errorf("the memory of other bytes has become %q", before)
		}
		var had any = 5
		for n, want := range []any{int64(7), nil, []byte("bytes")} {
			if err := call("Any", n, &had); err != nil || !reflect.DeepEqual(had, want) {
				t.Errorf("an any is %#v, not %#v: %v", had, want, err)
			}
		}
		pointed := &stored{S: "old"}
		old := pointed
		if err := call("Get", 1, pointed); err != nil || old != pointed || copied(*pointed) != copied(storedAnswers[1]) {
			t.Errorf("the reply is %s: %v", copied(*pointed), err)
		}
	})
}

func TestAReplyThatDoesNotDecodeLeavesTheVariable(t *testing.T) {
	t.Parallel()
	overNames(t, rig.Options{}, func(t *testing.T, s rig.Setup, call func(string, any, any) error) {
		for what, was := range map[string]narrowReply{"zero": {}, "old": {"old", 1}} {
			reply := was
			if err := call("Wide", 1, &reply); err == nil || reply != was {
				t.Errorf("%s has become %v: %v", what, reply, err)
			} else if s.Dest != s.Sender {
				rig.CheckErr(t, err, rpc.ClientErr, codes.InvalidArgument, "Svc.Wide", "narrowReply", "field Second")
			}
		}
	})
}

func TestARefusalIsAnAnswerAndMakesTheReplyZero(t *testing.T) {
	t.Parallel()
	deny := rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "Any" })
	refuse := rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			if call.Args == 77 {
				return errors.New("an interceptor's")
			}
			return next(ctx, call)
		}
	})
	overNames(t, rig.Options{Server: []rpc.ServerOption{deny, refuse}}, func(t *testing.T, s rig.Setup, call func(string, any, any) error) {
		local := s.Dest == s.Sender
		for method, arg := range map[string]any{"Nope": 1, "Get": "no number", "Panic": 1, "Exit": 1, "Words": "x", "Wait": 77, "Any": 1} {
			if method == "Any" && local {
				continue // which is never authorized
			}
			reply := storedAnswers[0]
			if err := call(method, arg, &reply); err == nil || copied(reply) != copied(stored{}) {
				t.Errorf("%s: the reply is %s: %v", method, copied(reply), err)
			}
		}
		reply := storedAnswers[0]
		if err := s.Client.Call(s.Dest, "Nobody", "Get", 1, &reply); err == nil || copied(reply) != copied(stored{}) {
			t.Errorf("no such service: the reply is %s: %v", copied(reply), err)
		}
	})
}

func TestACallWithoutAnAnswerLeavesTheReply(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, storing{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for name, call := range byName {
			reply, want := storedAnswers[0], copied(storedAnswers[0])
			ctx, cancel := context.WithCancel(rig.Context(t))
			cancel()
			for _, method := range []string{"Wait", "Nope"} {
				if err := call(ctx, s, method, 1, &reply); err == nil || copied(reply) != want {
					t.Errorf("%s, an ended context, %s: the reply is %s: %v", name, method, copied(reply), err)
				}
			}
			if s.Dest == s.Sender {
				continue
			}
			if err := call(rig.Context(t), s, "Get", func() {}, &reply); err == nil || copied(reply) != want {
				t.Errorf("%s, an argument that cannot be sent: the reply is %s: %v", name, copied(reply), err)
			}
			if err := call(rig.Context(t), rig.Setup{Client: s.Client, Dest: "nobody"}, "Get", 1, &reply); err == nil || copied(reply) != want {
				t.Errorf("%s, nobody: the reply is %s: %v", name, copied(reply), err)
			}
			retrying := rig.Client(t, s.Host, rpc.WithCallOptions(rpc.CallRetry(rpc.RetryPolicy{Attempts: 2, Backoff: 1})))
			if err := call(rig.Context(t), rig.Setup{Client: retrying, Dest: "nobody"}, "Get", 1, &reply); err == nil || copied(reply) != want {
				t.Errorf("%s, nobody, tried again: the reply is %s: %v", name, copied(reply), err)
			}
		}
	})
}

func TestATypedCallThatIsMadeTwiceHasTheSecondAnswer(t *testing.T) {
	t.Parallel()
	twice := rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			first := next(ctx, call)
			seen := *call.Reply.(*stored)
			was := copied(seen)
			if err := next(ctx, call); err != nil {
				return err
			}
			if got := copied(seen); got != was {
				return fmt.Errorf("the first answer was %s and is %s: %v", was, got, first)
			}
			return nil
		}
	})
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{Client: []rpc.ClientOption{twice}})
			count := make(chan int, 2)
			count <- 0
			count <- 1
			get := rpc.NewMethod[int, stored]("Svc", "Get")
			if err := get.Handle(s.Server, func(context.Context, int) (stored, error) { return storedAnswers[<-count], nil }); err != nil {
				t.Fatal(err)
			}
			got, err := get.Call(rig.Context(t), s.Client, s.Dest, 1)
			if err != nil || copied(got) != copied(storedAnswers[1]) {
				t.Errorf("got %s, %v", copied(got), err)
			}
		})
	}
}

func TestARetryHasOnlyItsOwnAnswer(t *testing.T) {
	t.Parallel()
	retry := rpc.WithCallOptions(rpc.CallIdempotent(true), rpc.CallRetry(rpc.RetryPolicy{Attempts: 2, Backoff: 1}))
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{Client: []rpc.ClientOption{retry}})
			attempts := make(chan int, 2)
			attempts <- 0
			attempts <- 1
			get := rpc.NewMethod[int, stored]("Svc", "Get")
			if err := get.Handle(s.Server, func(context.Context, int) (stored, error) {
				n := <-attempts
				if n == 0 {
					return storedAnswers[0], &rpc.Error{Code: codes.Unavailable, Message: "not yet"}
				}
				return storedAnswers[n], nil
			}); err != nil {
				t.Fatal(err)
			}
			got, err := get.Call(rig.Context(t), s.Client, s.Dest, 1)
			if err != nil || copied(got) != copied(storedAnswers[1]) {
				t.Errorf("got %s, %v", copied(got), err)
			}
		})
	}
}
