package servers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
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

// plainly serves v0.6's protocol only.
type plainly struct{ host.Host }

func (h plainly) SetStreamHandler(p protocol.ID, f network.StreamHandler) {
	if p == rig.Protocol {
		h.Host.SetStreamHandler(p, f)
	}
}

// A program shuts its server down and closes its host next, with all that the transports
// have not sent yet.
func TestHostClosedAfterShutdownLosesNoReply(t *testing.T) {
	t.Parallel()
	const calls, size, items = 16, 200 << 10, 5
	unary := rpc.NewMethod[int, []byte]("Svc", "Unary")
	stream := rpc.NewServerStream[int, []byte]("Svc", "Stream")
	for muxer, addr := range rig.Muxers {
		for _, tr := range []rig.Transport{rig.Session, rig.Wire, {Name: "plain"}} {
			t.Run(muxer+"/"+tr.Name, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostsOn(t, addr)
				serving := b
				if tr.Name == "plain" {
					serving = plainly{b}
				}
				s := rig.NewServer(t, serving)
				running, goOn := make(chan struct{}, 2*calls), make(chan struct{})
				rig.MustHandle(t, s, unary, func(context.Context, int) ([]byte, error) {
					running <- struct{}{}
					<-goOn
					return make([]byte, size), nil
				})
				if err := stream.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[[]byte]) error {
					running <- struct{}{}
					<-goOn
					for range n {
						if err := out.Send(ctx, make([]byte, size)); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				c := tr.Client(t, a)
				var results []<-chan error
				for range calls {
					results = append(results, rig.InBackground(func() error {
						reply, err := unary.Call(rig.Context(t), c, b.ID(), 1)
						if err == nil && len(reply) != size {
							err = errors.New("a part of the reply is missing")
						}
						return err
					}), rig.InBackground(func() error {
						n := 0
						for _, err := range stream.Call(rig.Context(t), c, b.ID(), items) {
							if err != nil {
								return err
							}
							n++
						}
						if n != items {
							return errors.New("items are missing")
						}
						return nil
					}))
				}
				for range results {
					rig.Take(t, "the methods run", running)
				}
				over := rig.InBackground(func() error { return errors.Join(s.Shutdown(rig.Context(t)), b.Close()) })
				rig.Eventually(t, "the server shuts down", func() bool { return s.State().ShuttingDown })
				close(goOn)
				for _, result := range results {
					if err := rig.Take(t, "the call ends", result); err != nil {
						t.Error(err)
					}
				}
				if err := rig.Take(t, "the server is shut down", over); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Sessions that come while a server waits for those that it has do not keep it waiting.
func TestShutdownDoesNotWaitForWhoComesLater(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.Serve(t, b, new(rig.RanCount))
	idle := func() network.Stream {
		st := rig.Open(t, a, b, rig.Sessions)
		rig.Write(t, st, []byte{1, 1}) // the client's settings, none of them
		return st
	}
	idle()
	rig.Eventually(t, "the server has the session", func() bool { return rig.SessionsAt(b) == 1 })
	over := rig.InBackground(func() error { return s.Shutdown(rig.Context(t)) })
	rig.Eventually(t, "the server shuts down", func() bool { return s.State().ShuttingDown })
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		select {
		case err := <-over:
			if err != nil {
				t.Error(err)
			}
			return
		case <-tick.C:
			idle()
		}
		if time.Since(begun) > rig.Slower(15*time.Second) {
			t.Fatal("the server waits for sessions that came later")
		}
	}
}
