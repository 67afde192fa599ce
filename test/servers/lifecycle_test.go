package servers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// refusedByServer reports whether err says that a server takes no calls: it
// says so itself, or no longer serves the protocol.
func refusedByServer(err error) bool {
	return rpc.CodeOf(err) == codes.Unavailable || rpc.CodeOf(err) == codes.Unimplemented
}

func TestCloseEndsTheCallsOfPeersAtOnce(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 20)}
		s := tr.With(t, svc, rig.Options{})
		var results []<-chan error
		for range 5 {
			results = append(results,
				rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Block", struct{}{}, new(int)) }),
				rig.InBackground(func() error {
					return s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Wait", make(chan int), make(chan int))
				}))
		}
		for range results {
			rig.Take(t, "the methods run", svc.Started)
		}
		if err := s.Server.Close(); err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			err := rig.Take(t, "the call ends", result)
			rig.CheckErr(t, err, rig.ErrKind(err), codes.Unavailable)
			if err := rig.Take(t, "the method is told", svc.Ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the method got %v", err)
			}
		}
		for range 3 {
			if err := s.Client.Call(s.Dest, "Svc", "Block", struct{}{}, new(int)); !refusedByServer(err) {
				t.Errorf("a later call: %v", err)
			}
			if _, err := rig.Stream(rig.Context(t), t, s, "Wait", make(chan int), 0); !refusedByServer(err) {
				t.Errorf("a later stream: %v", err)
			}
		}
		if err := errors.Join(s.Server.Close(), s.Server.Shutdown(rig.Context(t)), s.Server.Close()); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

// A method that a client of the process calls has its caller's context.
func TestCloseLeavesLocalCallsToTheirContextsAndRefusesLaterOnes(t *testing.T) {
	t.Parallel()
	s := rig.Local.Setup(t, rig.Options{})
	svc := rig.NewLingering()
	if err := s.Server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	var reply []int
	result := rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Linger", struct{}{}, &reply) })
	rig.Take(t, "the method runs", svc.Started)
	if err := s.Server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ctx := range []context.Context{context.Background(), rig.Context(t)} {
		err := s.Client.CallContext(ctx, s.Dest, "Svc", "Quick", 1, new(int))
		rig.CheckErr(t, err, rpc.ServerErr, codes.Unavailable, "Svc.Quick")
	}
	_, err := rig.Stream(rig.Context(t), t, s, "Any", make(chan int), 0)
	rig.CheckErr(t, err, rpc.ServerErr, codes.Unavailable, "Svc.Any")
	close(svc.Release)
	if err := rig.Take(t, "the call ends", result); err != nil || !slices.Equal(reply, []int{42}) {
		t.Errorf("got %v, %v", reply, err)
	}
}

func TestShutdownLetsCallsFinishAndRefusesOthers(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			svc := rig.NewPatient()
			s := tr.With(t, svc, rig.Options{})
			var n int
			unary := rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Unary", 7, &n) })
			rig.Take(t, "the unary method runs", svc.Started)
			args, replies := make(chan int), make(chan int)
			got := rig.InBackground(rig.Collect(replies))
			streamed := rig.InBackground(func() error { return s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Echo", args, replies) })
			args <- 1
			rig.Take(t, "the streaming method runs", svc.Started)

			down := rig.InBackground(func() error { return s.Server.Shutdown(rig.Context(t)) })
			rig.Eventually(t, "calls are refused", func() bool {
				return rpc.CodeOf(s.Client.Call(s.Dest, "Svc", "Missing", 1, new(int))) == codes.Unavailable
			})
			err := s.Client.Call(s.Dest, "Svc", "Unary", 8, new(int))
			rig.CheckErr(t, err, rpc.ServerErr, codes.Unavailable, "shutting down")
			_, err = rig.Stream(rig.Context(t), t, s, "Echo", make(chan int), 0)
			rig.CheckErr(t, err, rpc.ServerErr, codes.Unavailable, "shutting down")

			args <- 2 // the stream lives on
			close(args)
			if err := rig.Take(t, "the stream finishes", streamed); err != nil {
				t.Errorf("the stream: %v", err)
			}
			if all := rig.Take(t, "its replies end", got); !slices.Equal(all, []int{1, 2}) {
				t.Errorf("replies %v", all)
			}
			select {
			case err := <-down:
				t.Errorf("Shutdown returned %v before the last call was over", err)
			default:
			}
			close(svc.Release)
			if err := rig.Take(t, "the call finishes", unary); err != nil || n != 7 {
				t.Errorf("the call: %d, %v", n, err)
			}
			if err := rig.Take(t, "Shutdown returns", down); err != nil {
				t.Error(err)
			}
			if err := s.Client.Call(s.Dest, "Svc", "Unary", 9, new(int)); !refusedByServer(err) {
				t.Errorf("a call after it: %v", err)
			}
			if err := errors.Join(s.Server.Shutdown(rig.Context(t)), s.Server.Close(), s.Server.Close()); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestShutdownCancelsTheRestWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		svc := rig.NewPatient()
		s := tr.With(t, svc, rig.Options{})
		unary := rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Unary", 7, new(int)) })
		streamed := rig.InBackground(func() error {
			return s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Echo", make(chan int), make(chan int))
		})
		rig.Take(t, "a method runs", svc.Started)
		rig.Take(t, "both run", svc.Started)
		ctx, cancel := context.WithCancel(context.Background())
		down := rig.InBackground(func() error { return s.Server.Shutdown(ctx) })
		cancel()
		if err := rig.Take(t, "Shutdown returns", down); err != context.Canceled {
			t.Errorf("Shutdown returned %v", err)
		}
		if err := rig.Take(t, "the method is told", svc.Ended); err != context.Canceled {
			t.Errorf("the method got %v", err)
		}
		for _, result := range []<-chan error{unary, streamed} {
			err := rig.Take(t, "the call ends", result)
			rig.CheckErr(t, err, rig.ErrKind(err), codes.Unavailable)
		}
		if err := s.Client.Call(s.Dest, "Svc", "Unary", 9, new(int)); !refusedByServer(err) {
			t.Errorf("a later call: %v", err)
		}
	})
}

func TestShutdownLosesNoCall(t *testing.T) {
	t.Parallel()
	const rounds = 3
	many := int64(10000/rounds + 1)
	if testing.Short() {
		many = 500
	}
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			for range rounds {
				svc := &rig.Ledger{Ran: make(map[int]int)}
				s := tr.With(t, svc, rig.Options{})
				var made, answered atomic.Int64
				var callers sync.WaitGroup
				succeeded := make(chan map[int]bool, 32)
				enough := make(chan struct{})
				for range cap(succeeded) {
					callers.Go(func() {
						mine := make(map[int]bool)
						for refusals := 0; refusals < 3; {
							id, reply := int(made.Add(1)), 0
							err := s.Client.Call(s.Dest, "Svc", "Note", id, &reply)
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
				rig.Take(t, "many calls were answered", enough)
				if err := s.Server.Shutdown(rig.Context(t)); err != nil {
					t.Error(err)
				}
				callers.Wait()
				close(succeeded)
				n := 0
				for mine := range succeeded {
					n += len(mine)
					for id := range mine {
						if svc.Ran[id] != 1 {
							t.Errorf("call %d succeeded and ran %d times", id, svc.Ran[id])
						}
					}
				}
				if len(svc.Ran) != n {
					t.Errorf("%d calls ran, and %d succeeded", len(svc.Ran), n)
				}
			}
		})
	}
}

func TestClientCloseEndsItsCallsToPeersAndRefusesLaterOnes(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, 10)}
		s := tr.With(t, svc, rig.Options{})
		results := []<-chan error{
			rig.InBackground(func() error { return s.Client.Call(s.Dest, "Svc", "Block", struct{}{}, new(int)) }),
			rig.InBackground(func() error {
				return s.Client.Stream(rig.Context(t), s.Dest, "Svc", "Wait", make(chan int), make(chan int))
			}),
		}
		for range results {
			rig.Take(t, "the methods run", svc.Started)
		}
		if err := errors.Join(s.Client.Close(), s.Client.Close()); err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			rig.CheckErr(t, rig.Take(t, "the call ends", result), rpc.ClientErr, codes.Unavailable, "Svc.", "client was closed")
			if err := rig.Take(t, "the method is told", svc.Ended); !errors.Is(err, context.Canceled) {
				t.Errorf("the method got %v", err)
			}
		}
		err := s.Client.Call(s.Dest, "Svc", "Block", struct{}{}, new(int))
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Block", "client was closed")
	})
}

func TestClosedClientMakesNoCalls(t *testing.T) {
	t.Parallel()
	svc := new(rig.RanCount)
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		_ = s.Client.Close()
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Unary", 1, new(string))
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Unary", "client was closed")
		_, err = rig.Stream(rig.Context(t), t, s, "Streaming", make(chan int), "")
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Streaming", "client was closed")
		if n := svc.Ran.Load(); n != 0 {
			t.Errorf("%d methods ran", n)
		}
	})
}

// A stream whose request has not come when the last call is over is refused like those
// that come later. By its reset no caller could know that nothing has run.
func TestShutdownRefusesWhoHasNotYetAsked(t *testing.T) {
	t.Parallel()
	for _, p := range []protocol.ID{rig.Protocol, rig.Extended} {
		for name, asked := range map[string][]byte{"nothing": nil, "a half": rig.Header("Svc", "Unary")[:5]} {
			t.Run(string(p)+"/"+name, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHosts(t)
				s := rig.Serve(t, b, new(rig.RanCount))
				const n = 4
				var all []network.Stream
				for range n {
					st := rig.Open(t, a, b, p)
					rig.Write(t, st, asked)
					all = append(all, st)
				}
				rig.Eventually(t, "the server has the streams", func() bool {
					links := s.State().Links
					return len(links) == 1 && links[0].UnderWay == n
				})
				if err := s.Shutdown(rig.Context(t)); err != nil {
					t.Error(err)
				}
				for _, st := range all {
					if a := rig.Refusal(t, st); a.ErrType != rpc.ServerErr || !strings.Contains(a.Error, "shutting down") {
						t.Errorf("refused by %+v", a)
					}
				}
			})
		}
	}
}
