package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// refusedByServer reports whether err says that a server takes no calls: it
// says so itself, or no longer serves the protocol.
func refusedByServer(err error) bool {
	return rpc.CodeOf(err) == rpc.CodeUnavailable || rpc.CodeOf(err) == rpc.CodeUnimplemented
}

func TestCloseEndsTheCallsOfPeersAtOnce(t *testing.T) {
	t.Parallel()
	s := transports[1].setup(t, options{})
	svc := &blocker{make(chan struct{}), make(chan error, 20)}
	if err := s.server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	var results []<-chan error
	for range 5 {
		results = append(results,
			inBackground(func() error { return s.client.Call(s.dest, "Svc", "Block", struct{}{}, new(int)) }),
			inBackground(func() error {
				return s.client.Stream(testContext(t), s.dest, "Svc", "Wait", make(chan int), make(chan int))
			}))
	}
	for range results {
		take(t, "the methods run", svc.started)
	}
	if err := s.server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		err := take(t, "the call ends", result)
		checkErr(t, err, errKind(err), rpc.CodeUnavailable)
		if err := take(t, "the method is told", svc.ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the method got %v", err)
		}
	}
	for range 3 {
		if err := s.client.Call(s.dest, "Svc", "Block", struct{}{}, new(int)); !refusedByServer(err) {
			t.Errorf("a later call: %v", err)
		}
		if _, err := stream(testContext(t), t, s, "Wait", make(chan int), 0); !refusedByServer(err) {
			t.Errorf("a later stream: %v", err)
		}
	}
	if err := errors.Join(s.server.Close(), s.server.Shutdown(testContext(t)), s.server.Close()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A method that a client of the process calls has its caller's context.
func TestCloseLeavesLocalCallsToTheirContextsAndRefusesLaterOnes(t *testing.T) {
	t.Parallel()
	s := transports[0].setup(t, options{})
	svc := newLingering()
	if err := s.server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	var reply []int
	result := inBackground(func() error { return s.client.Call(s.dest, "Svc", "Linger", struct{}{}, &reply) })
	take(t, "the method runs", svc.started)
	if err := s.server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ctx := range []context.Context{context.Background(), testContext(t)} {
		err := s.client.CallContext(ctx, s.dest, "Svc", "Quick", 1, new(int))
		checkErr(t, err, rpc.ServerErr, rpc.CodeUnavailable, "Svc.Quick")
	}
	_, err := stream(testContext(t), t, s, "Any", make(chan int), 0)
	checkErr(t, err, rpc.ServerErr, rpc.CodeUnavailable, "Svc.Any")
	close(svc.release)
	if err := take(t, "the call ends", result); err != nil || !slices.Equal(reply, []int{42}) {
		t.Errorf("got %v, %v", reply, err)
	}
}

func TestShutdownLetsCallsFinishAndRefusesOthers(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s := tr.setup(t, options{})
			svc := newPatient()
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			var n int
			unary := inBackground(func() error { return s.client.Call(s.dest, "Svc", "Unary", 7, &n) })
			take(t, "the unary method runs", svc.started)
			args, replies := make(chan int), make(chan int)
			got := inBackground(collect(replies))
			streamed := inBackground(func() error { return s.client.Stream(testContext(t), s.dest, "Svc", "Echo", args, replies) })
			args <- 1
			take(t, "the streaming method runs", svc.started)

			down := inBackground(func() error { return s.server.Shutdown(testContext(t)) })
			pollUntil(t, "calls are refused", func() bool {
				return rpc.CodeOf(s.client.Call(s.dest, "Svc", "Missing", 1, new(int))) == rpc.CodeUnavailable
			})
			err := s.client.Call(s.dest, "Svc", "Unary", 8, new(int))
			checkErr(t, err, rpc.ServerErr, rpc.CodeUnavailable, "shutting down")
			_, err = stream(testContext(t), t, s, "Echo", make(chan int), 0)
			checkErr(t, err, rpc.ServerErr, rpc.CodeUnavailable, "shutting down")

			args <- 2 // the stream lives on
			close(args)
			if err := take(t, "the stream finishes", streamed); err != nil {
				t.Errorf("the stream: %v", err)
			}
			if all := take(t, "its replies end", got); !slices.Equal(all, []int{1, 2}) {
				t.Errorf("replies %v", all)
			}
			select {
			case err := <-down:
				t.Errorf("Shutdown returned %v before the last call was over", err)
			default:
			}
			close(svc.release)
			if err := take(t, "the call finishes", unary); err != nil || n != 7 {
				t.Errorf("the call: %d, %v", n, err)
			}
			if err := take(t, "Shutdown returns", down); err != nil {
				t.Error(err)
			}
			if err := s.client.Call(s.dest, "Svc", "Unary", 9, new(int)); !refusedByServer(err) {
				t.Errorf("a call after it: %v", err)
			}
			if err := errors.Join(s.server.Shutdown(testContext(t)), s.server.Close(), s.server.Close()); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// patient waits for the test, or for its context.
type patient struct {
	started, release chan struct{}
	ended            chan error
}

func newPatient() *patient {
	return &patient{make(chan struct{}, 10), make(chan struct{}), make(chan error, 10)}
}

func (p *patient) Unary(ctx context.Context, n int, reply *int) error {
	p.started <- struct{}{}
	select {
	case <-p.release:
		*reply = n
		return nil
	case <-ctx.Done():
		p.ended <- ctx.Err()
		return ctx.Err()
	}
}

func (p *patient) Echo(_ context.Context, in <-chan int, out chan<- int) error {
	p.started <- struct{}{}
	for n := range in {
		out <- n
	}
	return nil
}

func TestShutdownCancelsTheRestWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	s := transports[1].setup(t, options{})
	svc := newPatient()
	if err := s.server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	unary := inBackground(func() error { return s.client.Call(s.dest, "Svc", "Unary", 7, new(int)) })
	streamed := inBackground(func() error {
		return s.client.Stream(testContext(t), s.dest, "Svc", "Echo", make(chan int), make(chan int))
	})
	take(t, "a method runs", svc.started)
	take(t, "both run", svc.started)
	ctx, cancel := context.WithCancel(context.Background())
	down := inBackground(func() error { return s.server.Shutdown(ctx) })
	cancel()
	if err := take(t, "Shutdown returns", down); err != context.Canceled {
		t.Errorf("Shutdown returned %v", err)
	}
	if err := take(t, "the method is told", svc.ended); err != context.Canceled {
		t.Errorf("the method got %v", err)
	}
	for _, result := range []<-chan error{unary, streamed} {
		err := take(t, "the call ends", result)
		checkErr(t, err, errKind(err), rpc.CodeUnavailable)
	}
	if err := s.client.Call(s.dest, "Svc", "Unary", 9, new(int)); !refusedByServer(err) {
		t.Errorf("a later call: %v", err)
	}
}

// ledger notes which calls ran.
type ledger struct {
	mu  sync.Mutex
	ran map[int]int
}

func (l *ledger) Note(_ context.Context, id int, reply *int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ran[id]++
	*reply = id
	return nil
}

func TestShutdownLosesNoCall(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			for range 3 {
				s := tr.setup(t, options{})
				svc := &ledger{ran: make(map[int]int)}
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				var made, answered atomic.Int64
				var callers sync.WaitGroup
				succeeded := make(chan map[int]bool, 32)
				enough := make(chan struct{})
				var once sync.Once
				for range cap(succeeded) {
					callers.Go(func() {
						mine := make(map[int]bool)
						for refusals := 0; refusals < 3; {
							id, reply := int(made.Add(1)), 0
							err := s.client.Call(s.dest, "Svc", "Note", id, &reply)
							switch {
							case err == nil && reply == id:
								mine[id] = true
								if answered.Add(1) > 500 {
									once.Do(func() { close(enough) })
								}
							case refusedByServer(err):
								refusals++
							default:
								t.Errorf("call %d was lost: %d, %v", id, reply, err)
								refusals++
							}
						}
						succeeded <- mine
					})
				}
				take(t, "many calls were answered", enough)
				if err := s.server.Shutdown(testContext(t)); err != nil {
					t.Error(err)
				}
				callers.Wait()
				close(succeeded)
				n := 0
				for mine := range succeeded {
					n += len(mine)
					for id := range mine {
						if svc.ran[id] != 1 {
							t.Errorf("call %d succeeded and ran %d times", id, svc.ran[id])
						}
					}
				}
				if len(svc.ran) != n {
					t.Errorf("%d calls ran, and %d succeeded", len(svc.ran), n)
				}
			}
		})
	}
}

func TestClientCloseEndsItsCallsToPeersAndRefusesLaterOnes(t *testing.T) {
	t.Parallel()
	s := transports[1].setup(t, options{})
	svc := &blocker{make(chan struct{}), make(chan error, 10)}
	if err := s.server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	results := []<-chan error{
		inBackground(func() error { return s.client.Call(s.dest, "Svc", "Block", struct{}{}, new(int)) }),
		inBackground(func() error {
			return s.client.Stream(testContext(t), s.dest, "Svc", "Wait", make(chan int), make(chan int))
		}),
	}
	for range results {
		take(t, "the methods run", svc.started)
	}
	if err := errors.Join(s.client.Close(), s.client.Close()); err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		checkErr(t, take(t, "the call ends", result), rpc.ClientErr, rpc.CodeUnavailable, "Svc.", "client was closed")
		if err := take(t, "the method is told", svc.ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the method got %v", err)
		}
	}
	err := s.client.Call(s.dest, "Svc", "Block", struct{}{}, new(int))
	checkErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.Block", "client was closed")
}

func TestClosedClientMakesNoCalls(t *testing.T) {
	t.Parallel()
	svc := new(ranCount)
	overAll(t, svc, options{}, func(t *testing.T, s setup) {
		_ = s.client.Close()
		err := s.client.CallContext(testContext(t), s.dest, "Svc", "Unary", 1, new(string))
		checkErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.Unary", "client was closed")
		_, err = stream(testContext(t), t, s, "Streaming", make(chan int), "")
		checkErr(t, err, rpc.ClientErr, rpc.CodeUnavailable, "Svc.Streaming", "client was closed")
		if n := svc.ran.Load(); n != 0 {
			t.Errorf("%d methods ran", n)
		}
	})
}

func TestRegisterWhileServing(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
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
					if err := s.client.Call(s.dest, service, "Multiply", Args{2, 3}, &product); err != nil || product != 6 {
						t.Errorf("%s: %d, %v", service, product, err)
						return
					}
				}
			})
		}
		for i := range services {
			name := fmt.Sprint("Svc", i)
			if err := s.server.RegisterName(name, Arith{}); err != nil {
				t.Error(err)
			}
			var product int
			if err := s.client.Call(s.dest, name, "Multiply", Args{2, 3}, &product); err != nil || product != 6 {
				t.Errorf("%s: %d, %v", name, product, err)
			}
			if n := len(s.server.Services()); n != i+2 {
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

func (Crooked) Good(context.Context, int, *string) error                       { return nil }
func (Crooked) GoodStream(context.Context, <-chan int, chan<- string) error    { return nil }
func (Crooked) TwoArguments(context.Context, int) error                        { return nil }
func (Crooked) FourArguments(context.Context, int, *int, *int) error           { return nil }
func (Crooked) Variadic(context.Context, int, ...*int) error                   { return nil }
func (Crooked) NoContext(int, int, *int) error                                 { return nil }
func (Crooked) ReplyNoPointer(context.Context, int, int) error                 { return nil }
func (Crooked) NoError(context.Context, int, *int)                             {}
func (Crooked) OtherResult(context.Context, int, *int) int                     { return 0 }
func (Crooked) TwoResults(context.Context, int, *int) (int, error)             { return 0, nil }
func (Crooked) ArgumentsBothWays(context.Context, chan int, chan<- int) error  { return nil }
func (Crooked) RepliesWrongWay(context.Context, <-chan int, <-chan int) error  { return nil }
func (Crooked) OneChannel(context.Context, <-chan int, *int) error             { return nil }
func (*Crooked) PointerReceiver(context.Context, int, *int) error              { return nil }
func (Crooked) LocalOnly(context.Context, struct{ F func() }, *struct{}) error { return nil }

func TestRegisterTellsWhichMethodsItLeftOutAndWhy(t *testing.T) {
	t.Parallel()
	var buf syncBuffer
	s := rpc.NewServer(nil, testProtocol, rpc.WithServerLogger(slog.New(slog.NewTextHandler(&buf, nil))))
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
		"PointerReceiver":   "receiver is a pointer: register a *rpc_test.Crooked",
	}
	var last string
	for _, l := range infos[0].LeftOut {
		if want, ok := reasons[l.Name]; !ok || !strings.Contains(l.Reason, want) || l.Name <= last {
			t.Errorf("%s: %s", l.Name, l.Reason)
		}
		if !strings.Contains(buf.String(), l.Name+": "+l.Reason) {
			t.Errorf("the log does not say %s: %s", l.Name, l.Reason)
		}
		last = l.Name
	}
	if len(infos[0].LeftOut) != len(reasons) || !strings.Contains(buf.String(), "level=WARN") || !strings.Contains(buf.String(), "F func()") {
		t.Errorf("%d methods are left out; the log: %s", len(infos[0].LeftOut), buf.String())
	}
	// By its address the receiver has them all.
	if err := s.RegisterName("Pointer", &Crooked{}); err != nil {
		t.Fatal(err)
	}
	for _, l := range s.Services()[1].LeftOut {
		if l.Name == "PointerReceiver" {
			t.Error("a pointer's own method is left out")
		}
	}
}

func TestMethodWithTooLongANameIsLeftOut(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, testProtocol, quiet)
	// "Multiply" fits, by one byte; "ReplyAndError" does not.
	name := strings.Repeat("s", rpc.MaxServiceIDLength-len(".Multiply"))
	if err := s.RegisterName(name, Arith{}); err != nil {
		t.Fatal(err)
	}
	info := s.Services()[0]
	if !slices.ContainsFunc(info.Methods, func(m rpc.MethodInfo) bool { return m.Name == "Multiply" }) ||
		!slices.ContainsFunc(info.LeftOut, func(l rpc.LeftOutMethod) bool {
			return l.Name == "ReplyAndError" && strings.Contains(l.Reason, "256") && strings.Contains(l.Reason, "shorter")
		}) {
		t.Errorf("got %+v", info)
	}
	if err := s.RegisterName(name+"s.much.longer", Arith{}); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("none of the methods fits: %v", err)
	}
}

type NoMethods struct{}

type BadMethods struct{}

func (BadMethods) Bad() {}

func TestRegisterRefusesWhatIsNoService(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, testProtocol, quiet)
	if err := s.Register(&Crooked{}); err != nil {
		t.Fatal(err)
	}
	unnamed := struct{ Arith }{}
	for what, c := range map[string]struct {
		err  error
		says string
	}{
		"nil":                {s.Register(nil), "nil"},
		"nil by name":        {s.RegisterName("A", nil), "nil"},
		"a nil pointer":      {s.Register((*Crooked)(nil)), "nil *rpc_test.Crooked"},
		"an unnamed type":    {s.Register(unnamed), "RegisterName"},
		"an unexported type": {s.Register(newLingering()), "lingering is not exported"},
		"no methods":         {s.Register(NoMethods{}), "rpc_test.NoMethods has no exported methods"},
		"no good methods":    {s.Register(BadMethods{}), "Bad: it takes 0 arguments"},
		"a duplicate":        {s.Register(&Crooked{}), "already defined: Crooked"},
		"a taken name":       {s.RegisterName("Crooked", Arith{}), "already defined: Crooked"},
		"an empty name":      {s.RegisterName("", Arith{}), "empty name"},
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
