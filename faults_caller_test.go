package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	coretest "github.com/libp2p/go-libp2p/core/test"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// take receives from ch, and fails the test unless that is soon.
func take[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
	}
	return v
}

// pollUntil waits for what no event tells of.
func pollUntil(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// inBackground returns what f will return.
func inBackground[T any](f func() T) <-chan T {
	result := make(chan T, 1)
	go func() { result <- f() }()
	return result
}

// libraryGoroutines are the stacks of all goroutines in which, or by which,
// the library runs.
func libraryGoroutines() (stacks []string) {
	buf := make([]byte, 1<<20)
	for n := 0; ; buf = make([]byte, 2*len(buf)) {
		if n = runtime.Stack(buf, true); n < len(buf) {
			buf = buf[:n]
			break
		}
	}
	for _, s := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(s, "github.com/libp2p/go-libp2p-gorpc.") || strings.Contains(s, "github.com/libp2p/go-libp2p-gorpc/internal/") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}

// noGoroutineStays fails the test if the library goes on with anything. Only
// tests that are not parallel can ask, and they must before hosts and servers
// are closed: that would end what was forgotten.
func noGoroutineStays(t testing.TB) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(left, "\n\n"))
		}
	}()
	pollUntil(t, "all goroutines of the library have ended", func() bool {
		left = libraryGoroutines()
		return len(left) == 0
	})
}

// checkErr checks the kind and code of an error, and what its text names.
func checkErr(t testing.TB, err error, kind rpc.ErrorType, code rpc.Code, names ...string) {
	t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) {
		t.Errorf("no error of the library's: %v", err)
		return
	}
	if e.Type() != kind || rpc.CodeOf(err) != code {
		t.Errorf("kind %v and code %v, not %v and %v: %v", e.Type(), rpc.CodeOf(err), kind, code, err)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("does not name %q: %v", name, err)
		}
	}
}

// pair is a local and a wire setup, for what must be the same over both.
func pair(t *testing.T, svc any, o options) (local, wire setup) {
	t.Helper()
	var all []setup
	for _, tr := range transports {
		s := tr.setup(t, o)
		if err := s.server.RegisterName("Svc", svc); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all[0], all[1]
}

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
			if fmt.Sprint(here) != fmt.Sprint(there) {
				t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
			}
			// A context that cannot end is another way through a local call.
			if err := local.client.Call(local.dest, "Svc", c.method, c.args, reply()); fmt.Sprint(err) != fmt.Sprint(here) {
				t.Errorf("without a context: %v", err)
			}
			for _, s := range []setup{local, wire} {
				done := make(chan *rpc.Call, 1)
				_ = s.client.Go(s.dest, "Svc", c.method, c.args, reply(), done)
				if err := take(t, "the call is over", done).Error; fmt.Sprint(err) != fmt.Sprint(here) {
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
		if fmt.Sprint(here) != fmt.Sprint(there) {
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
		if fmt.Sprint(here) != fmt.Sprint(there) {
			t.Errorf("not the same words:\nlocal: %v\nwire:  %v", here, there)
		}
	}
}

func TestLocalCallWithoutAServerIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []*rpc.Client{rpc.NewClient(nil, testProtocol), rpc.NewClient(newHost(t), testProtocol)} {
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

// lingering heeds no context, and writes its reply when nobody waits for it.
type lingering struct {
	started, release, wrote chan struct{}
}

func newLingering() *lingering {
	return &lingering{make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100)}
}

func (l *lingering) Linger(_ context.Context, _ struct{}, reply *[]int) error {
	l.started <- struct{}{}
	<-l.release
	*reply = []int{42}
	l.wrote <- struct{}{}
	return nil
}

func (l *lingering) Quick(_ context.Context, n int, reply *int) error {
	*reply = n
	return nil
}

func TestCallReturnsThoughItsMethodRunsOnAndItsReplyStaysUntouched(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		for what, want := range map[string]error{"cancelled": context.Canceled, "late": context.DeadlineExceeded} {
			t.Run(tr.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				svc := newLingering()
				s := tr.setup(t, options{})
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(testContext(t))
				if what == "late" {
					ctx, cancel = context.WithTimeout(ctx, time.Second)
				}
				defer cancel()
				reply := []int{7}
				result := inBackground(func() error {
					return s.client.CallContext(ctx, s.dest, "Svc", "Linger", struct{}{}, &reply)
				})
				take(t, "the method runs", svc.started)
				if what == "cancelled" {
					cancel()
				}
				err := take(t, "the call returns", result)
				if !errors.Is(err, want) {
					t.Errorf("got %v", err)
				}
				checkErr(t, err, rpc.ClientErr, rpc.CodeOf(want), "Svc.Linger")
				reply[0]++ // -race sees whoever else touches it
				close(svc.release)
				take(t, "the method has written", svc.wrote)
				reply[0]++
				var n int
				if err := s.client.Call(s.dest, "Svc", "Quick", 3, &n); err != nil || n != 3 {
					t.Errorf("the next call: %d, %v", n, err)
				}
				if len(reply) != 1 || reply[0] != 9 {
					t.Errorf("the reply became %v", reply)
				}
			})
		}
	}
}

// decodingHook is called as hooked values are decoded, by their number.
var decodingHook func(n int)

type hooked struct{ N int }

func (h hooked) MarshalBinary() ([]byte, error) { return fmt.Append(nil, h.N), nil }

func (h *hooked) UnmarshalBinary(b []byte) error {
	_, err := fmt.Sscan(string(b), &h.N)
	decodingHook(h.N)
	return err
}

type manyHooked struct{}

func (manyHooked) Many(_ context.Context, n int, reply *[]hooked) error {
	for i := range n {
		*reply = append(*reply, hooked{i})
	}
	return nil
}

// Not parallel: the hook is everybody's.
func TestReplyIsUntouchedAfterACallThatEndsWhileItIsDecoded(t *testing.T) {
	const n = 1000
	s := transports[1].setup(t, options{})
	if err := s.server.RegisterName("Svc", manyHooked{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, n / 2, n - 1} {
		ctx, cancel := context.WithCancel(testContext(t))
		decodingHook = func(i int) {
			if i == at {
				cancel()
				<-ctx.Done()
				runtime.Gosched()
			}
		}
		reply := make([]hooked, 0, n)
		err := s.client.CallContext(ctx, s.dest, "Svc", "Many", n, &reply)
		if err != nil && !errors.Is(err, context.Canceled) || err == nil && len(reply) != n {
			t.Fatalf("%d items, %v", len(reply), err)
		}
		reply = reply[:n]
		for i := range reply {
			reply[i].N = -1 // -race sees whoever else touches it
		}
	}
}

// several has an outcome of each sort.
type several struct {
	*lingering
	Arith
}

func TestGoDeliversEachCallOnce(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			svc := &several{newLingering(), Arith{}}
			s := tr.setup(t, options{})
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			done := make(chan *rpc.Call, 100)
			next := func(ctx context.Context, method string, args, reply any) *rpc.Call {
				if err := s.client.GoContext(ctx, s.dest, "Svc", method, args, reply, done); err != nil {
					t.Fatal(err)
				}
				return take(t, method+" is over", done)
			}
			over, cancelOver := context.WithCancel(testContext(t))
			cancelOver()
			running, cancelRunning := context.WithCancel(testContext(t))
			go func() {
				<-svc.started
				cancelRunning()
			}()
			for _, c := range []struct {
				ctx    context.Context
				method string
				args   any
				reply  any
				code   rpc.Code
			}{
				{testContext(t), "Quick", 1, new(int), rpc.CodeOK},
				{context.Background(), "Quick", 1, new(int), rpc.CodeOK},
				{testContext(t), "Divide", Args{1, 0}, new(Quotient), rpc.CodeUnknown},
				{testContext(t), "Missing", 1, new(int), rpc.CodeUnimplemented},
				{over, "Quick", 1, new(int), rpc.CodeCanceled},
				{running, "Linger", struct{}{}, new([]int), rpc.CodeCanceled},
			} {
				call := next(c.ctx, c.method, c.args, c.reply)
				if call.SvcID.Method != c.method || call.Reply != c.reply || call.Args != c.args || call.Dest != s.dest || rpc.CodeOf(call.Error) != c.code {
					t.Errorf("%s: got %+v", c.method, call)
				}
			}
			// v0.6 delivered the cancelled one again when its method was done.
			close(svc.release)
			take(t, "the method has ended", svc.wrote)
			for range 3 {
				if call := next(testContext(t), "Quick", 1, new(int)); call.SvcID.Method != "Quick" || call.Error != nil {
					t.Errorf("got %+v", call)
				}
			}
			if err := s.client.Go(s.dest, "Svc", "Linger", struct{}{}, new([]int), nil); err != nil {
				t.Fatal(err)
			}
			take(t, "the call that nobody is told of", svc.wrote)
			if n := len(done); n != 0 {
				t.Errorf("%d results too many", n)
			}
		})
	}
}

// Not parallel: it counts goroutines and takes the log.
func TestResultIsDroppedWhenTheDoneChannelIsFull(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			var buf syncBuffer
			old, out, flags := slog.Default(), log.Writer(), log.Flags()
			slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
			defer func() {
				slog.SetDefault(old)
				log.SetOutput(out)
				log.SetFlags(flags)
			}()
			s := tr.setup(t, options{})
			if err := s.server.RegisterName("Svc", newLingering()); err != nil {
				t.Fatal(err)
			}
			done := make(chan *rpc.Call, 1)
			for i := range 3 {
				if err := s.client.Go(s.dest, "Svc", "Quick", i, new(int), done); err != nil {
					t.Fatal(err)
				}
			}
			noGoroutineStays(t)
			if len(done) != 1 || strings.Count(buf.String(), "Svc.Quick") != 2 {
				t.Errorf("%d results, and the log has %q", len(done), buf.String())
			}
		})
	}
}

// syncBuffer is a log for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// timed tells of its contexts.
type timed struct {
	began chan struct{} // of those that wait
	ended chan error
}

// Left is how many seconds its caller gives it, -1 for no bound.
func (*timed) Left(ctx context.Context, _ struct{}, left *float64) error {
	*left = left1(ctx)
	return nil
}

func (*timed) Lefts(ctx context.Context, _ <-chan int, out chan<- float64) error {
	out <- left1(ctx)
	return nil
}

func left1(ctx context.Context) float64 {
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d).Seconds()
	}
	return -1
}

func (w *timed) Wait(ctx context.Context, _ struct{}, _ *int) error {
	w.began <- struct{}{}
	<-ctx.Done()
	w.ended <- ctx.Err()
	return ctx.Err()
}

func (w *timed) Waits(ctx context.Context, _ <-chan int, _ chan<- int) error {
	return w.Wait(ctx, struct{}{}, nil)
}

func (*timed) Fail(_ context.Context, which string, _ *int) error {
	return map[string]error{
		"canceled": context.Canceled,
		"deadline": context.DeadlineExceeded,
		"wrapped":  fmt.Errorf("giving up: %w", context.DeadlineExceeded),
	}[which]
}

func TestDeadlineReachesTheMethod(t *testing.T) {
	t.Parallel()
	overAll(t, &timed{}, options{}, func(t *testing.T, s setup) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		for ctx, ok := range map[context.Context]func(float64) bool{
			ctx:                  func(left float64) bool { return left > 3000 && left <= 3600 },
			context.Background(): func(left float64) bool { return left == -1 },
		} {
			var left float64
			if err := s.client.CallContext(ctx, s.dest, "Svc", "Left", struct{}{}, &left); err != nil || !ok(left) {
				t.Errorf("unary: %v left, %v", left, err)
			}
			lefts := make(chan float64, 1)
			if err := s.client.Stream(ctx, s.dest, "Svc", "Lefts", make(chan int), lefts); err != nil {
				t.Error(err)
			}
			if left := <-lefts; !ok(left) {
				t.Errorf("streaming: %v left", left)
			}
		}
	})
}

func TestCallTimeoutBoundsUnaryCallsWithoutDeadline(t *testing.T) {
	t.Parallel()
	svc := &timed{make(chan struct{}, 100), make(chan error, 10)}
	overAll(t, svc, options{client: []rpc.ClientOption{rpc.WithCallTimeout(500 * time.Millisecond)}}, func(t *testing.T, s setup) {
		cancellable, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, ctx := range []context.Context{context.Background(), cancellable} {
			err := take(t, "the call ends", inBackground(func() error {
				return s.client.CallContext(ctx, s.dest, "Svc", "Wait", struct{}{}, new(int))
			}))
			// The method has the same deadline, and its error may come first.
			if !errors.Is(err, context.DeadlineExceeded) || rpc.CodeOf(err) != rpc.CodeDeadlineExceeded {
				t.Errorf("got %v", err)
			}
			take(t, "the method ends", svc.ended)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		var left float64
		if err := s.client.CallContext(ctx, s.dest, "Svc", "Left", struct{}{}, &left); err != nil || left < 3000 {
			t.Errorf("the caller's own deadline: %v left, %v", left, err)
		}
		lefts := make(chan float64, 1)
		if err := s.client.Stream(context.Background(), s.dest, "Svc", "Lefts", make(chan int), lefts); err != nil {
			t.Error(err)
		}
		if left := <-lefts; left != -1 {
			t.Errorf("a stream is bounded: %v left", left)
		}
	})
}

func TestContextErrorsHoldOnBothSides(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		for _, method := range []string{"Wait", "Waits"} {
			for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
				t.Run(tr.name+"/"+method+"/"+what, func(t *testing.T) {
					t.Parallel()
					svc := &timed{make(chan struct{}, 100), make(chan error, 1)}
					s := tr.setup(t, options{})
					if err := s.server.RegisterName("Svc", svc); err != nil {
						t.Fatal(err)
					}
					// The deadline leaves a busy machine the time to begin.
					if err := s.client.Call(s.dest, "Svc", "Fail", "", new(int)); err != nil {
						t.Fatal(err)
					}
					for range 3 {
						ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
						if what == "canceled" {
							cancel()
							ctx, cancel = context.WithCancel(context.Background())
							go func() {
								<-svc.began
								cancel()
							}()
						}
						err := take(t, "the call returns", inBackground(func() error {
							if method == "Wait" {
								return s.client.CallContext(ctx, s.dest, "Svc", method, struct{}{}, new(int))
							}
							return s.client.Stream(ctx, s.dest, "Svc", method, make(chan int), make(chan int))
						}))
						if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) {
							t.Errorf("the caller got %v", err)
						}
						if err := take(t, "the method ends", svc.ended); err != want {
							t.Errorf("the method got %v", err)
						}
						cancel()
					}
				})
			}
		}
	}
}

func TestContextErrorsOfMethodsReachTheCaller(t *testing.T) {
	t.Parallel()
	overAll(t, &timed{}, options{}, func(t *testing.T, s setup) {
		for which, want := range map[string]error{
			"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "wrapped": context.DeadlineExceeded,
		} {
			err := s.client.Call(s.dest, "Svc", "Fail", which, new(int))
			if !errors.Is(err, want) || rpc.CodeOf(err) != rpc.CodeOf(want) || rpc.IsRPCError(err) {
				t.Errorf("%s: got %v", which, err)
			}
		}
	})
}

func TestEndedContextMakesNoCall(t *testing.T) {
	t.Parallel()
	svc := new(ranCount)
	overAll(t, svc, options{}, func(t *testing.T, s setup) {
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		late, cancel := context.WithTimeout(context.Background(), -1)
		defer cancel()
		for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
			for _, err := range []error{
				s.client.CallContext(ctx, s.dest, "Svc", "Unary", 1, new(string)),
				s.client.Stream(ctx, s.dest, "Svc", "Streaming", make(chan int), make(chan string)),
			} {
				if !errors.Is(err, want) {
					t.Errorf("got %v", err)
				}
				checkErr(t, err, rpc.ClientErr, rpc.CodeOf(want), "Svc.")
			}
		}
		if n := svc.ran.Load(); n != 0 {
			t.Errorf("%d methods ran", n)
		}
	})
}

// blackHole is an address that takes connections and never says anything.
func blackHole(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan []net.Conn)
	go func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				accepted <- conns
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for _, c := range <-accepted {
			_ = c.Close()
		}
	})
	return tcpAddr(l.Addr())
}

// closedPort is an address that nobody listens on.
func closedPort(t *testing.T) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return tcpAddr(l.Addr())
}

func tcpAddr(a net.Addr) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", a.(*net.TCPAddr).Port))
}

func TestContextThatEndsWhileDiallingIsToldAsSuch(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := rpc.NewClient(h, testProtocol)
	t.Cleanup(func() { _ = c.Close() })
	hole := blackHole(t)
	for what, want := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded} {
		for _, streaming := range []bool{false, true} {
			dest := coretest.RandPeerIDFatal(t)
			h.Peerstore().AddAddr(dest, hole, peerstore.PermanentAddrTTL)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			if what == "canceled" {
				cancel()
				ctx, cancel = context.WithCancel(context.Background())
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			replies := make(chan int)
			err := take(t, "the call returns", inBackground(func() error {
				if streaming {
					return c.Stream(ctx, dest, "Svc", "M", make(chan int), replies)
				}
				return c.CallContext(ctx, dest, "Svc", "M", 1, new(int))
			}))
			cancel()
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v", what, err)
			}
			checkErr(t, err, rpc.ClientErr, rpc.CodeOf(want), "Svc.M")
			if streaming {
				if _, open := take2(t, replies); open {
					t.Error("replies are open")
				}
			}
		}
	}
}

// take2 is take that tells whether the channel was open.
func take2[T any](t testing.TB, ch <-chan T) (v T, open bool) {
	t.Helper()
	select {
	case v, open = <-ch:
	case <-time.After(20 * time.Second):
		t.Fatal("not within 20 s: the channel has an item or is closed")
	}
	return v, open
}

func TestUnreachablePeerIsUnavailable(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	c := rpc.NewClient(h, testProtocol)
	t.Cleanup(func() { _ = c.Close() })
	dest := coretest.RandPeerIDFatal(t)
	h.Peerstore().AddAddr(dest, closedPort(t), peerstore.PermanentAddrTTL)
	err := c.Call(dest, "Svc", "M", 1, new(int))
	checkErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.M", dest.String())
}
