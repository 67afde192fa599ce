package rpc_test

import (
	"context"
	"errors"
	"slices"
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
	overRemote(t, func(t *testing.T, tr transport) {
		s := tr.setup(t, options{})
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
	})
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
			eventually(t, "calls are refused", func() bool {
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
	overRemote(t, func(t *testing.T, tr transport) {
		s := tr.setup(t, options{})
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
	})
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
	const rounds = 3
	many := int64(10000/rounds + 1)
	if testing.Short() {
		many = 500
	}
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			for range rounds {
				s := tr.setup(t, options{})
				svc := &ledger{ran: make(map[int]int)}
				if err := s.server.RegisterName("Svc", svc); err != nil {
					t.Fatal(err)
				}
				var made, answered atomic.Int64
				var callers sync.WaitGroup
				succeeded := make(chan map[int]bool, 32)
				enough := make(chan struct{})
				for range cap(succeeded) {
					callers.Go(func() {
						mine := make(map[int]bool)
						for refusals := 0; refusals < 3; {
							id, reply := int(made.Add(1)), 0
							err := s.client.Call(s.dest, "Svc", "Note", id, &reply)
							switch {
							case err == nil && reply == id:
								mine[id] = true
								if answered.Add(1) == many {
									close(enough)
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
	overRemote(t, func(t *testing.T, tr transport) {
		s := tr.setup(t, options{})
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
	})
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
