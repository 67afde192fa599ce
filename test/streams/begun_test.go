package streams_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// announcing has a method that replies nothing for long.
type announcing struct {
	header  rpc.Metadata // what it sends first
	release chan error   // ends it
}

func (a *announcing) Watch(ctx context.Context, _ <-chan int, _ chan<- int) error { return a.run(ctx) }

func (a *announcing) run(ctx context.Context) error {
	if a.header != nil {
		if err := rpc.SetHeader(ctx, a.header); err != nil {
			return err
		}
	}
	select {
	case err := <-a.release:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// declared has the method declared in every form, each under its own service.
func (a *announcing) declared(t *testing.T, s *rpc.Server) {
	t.Helper()
	if err := errors.Join(
		rpc.NewServerStream[int, int]("ServerStream", "Watch").Handle(s, func(ctx context.Context, _ int, _ *rpc.Sender[int]) error { return a.run(ctx) }),
		rpc.NewClientStream[int, int]("ClientStream", "Watch").Handle(s, func(ctx context.Context, _ *rpc.Receiver[int]) (int, error) { return 7, a.run(ctx) }),
		rpc.NewDuplex[int, int]("Duplex", "Watch").Handle(s, func(ctx context.Context, _ *rpc.Receiver[int], _ *rpc.Sender[int]) error { return a.run(ctx) }),
	); err != nil {
		t.Fatal(err)
	}
}

var announcingServices = []string{"Svc", "ServerStream", "ClientStream", "Duplex"}

// told is what a caller knows of the beginning of its call.
type told struct {
	dest   peer.ID
	header rpc.Metadata
	err    error // with which the call ended before anybody was told
}

// beginWays are the ways to learn that the method of a call runs. Each has ended its call
// when it returns.
var beginWays = map[string]func(ctx context.Context, s rig.Setup, service string) told{
	"Stream": notified(func(ctx context.Context, s rig.Setup, service string) error {
		args := make(chan int, 1)
		args <- 1
		defer close(args)
		return s.Client.Stream(ctx, s.Dest, service, "Watch", args, make(chan int))
	}),
	"MultiStream": notified(func(ctx context.Context, s rig.Setup, service string) error {
		args := make(chan int, 1)
		args <- 1
		defer close(args)
		return s.Client.MultiStream(ctx, []peer.ID{s.Dest}, service, "Watch", args, make(chan int))[0]
	}),
	"ServerStream.Call": notified(func(ctx context.Context, s rig.Setup, service string) (err error) {
		for _, err = range rpc.NewServerStream[int, int](service, "Watch").Call(ctx, s.Client, s.Dest, 1) {
		}
		return err
	}),
	"ServerStream.CallAll": notified(func(ctx context.Context, s rig.Setup, service string) (err error) {
		for _, r := range rpc.NewServerStream[int, int](service, "Watch").CallAll(ctx, s.Client, []peer.ID{s.Dest}, 1) {
			err = r.Err
		}
		return err
	}),
	"Duplex.OpenAll": notified(func(ctx context.Context, s rig.Setup, service string) (err error) {
		all := rpc.NewDuplex[int, int](service, "Watch").OpenAll(ctx, s.Client, []peer.ID{s.Dest})
		defer all.Close()
		_ = all.Send(ctx, 1)
		for _, r := range all.All(ctx) {
			err = r.Err
		}
		return err
	}),
	"ClientStream.Open": func(ctx context.Context, s rig.Setup, service string) told {
		call := rpc.NewClientStream[int, int](service, "Watch").Open(ctx, s.Client, s.Dest)
		defer call.Close()
		_ = call.Send(ctx, 1)
		header, err := call.Begun(ctx)
		return told{s.Dest, header, err}
	},
	"Duplex.Open": func(ctx context.Context, s rig.Setup, service string) told {
		call := rpc.NewDuplex[int, int](service, "Watch").Open(ctx, s.Client, s.Dest)
		defer call.Close()
		_ = call.Send(ctx, 1)
		header, err := call.Begun(ctx)
		return told{s.Dest, header, err}
	},
}

// notified makes a call that a function is told of.
func notified(call func(context.Context, rig.Setup, string) error) func(context.Context, rig.Setup, string) told {
	return func(ctx context.Context, s rig.Setup, service string) told {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		begun, over := make(chan told, 2), make(chan error, 1)
		ctx = rpc.ContextWithBegun(ctx, func(dest peer.ID, header rpc.Metadata) { begun <- told{dest, header, nil} })
		go func() { over <- call(ctx, s, service) }()
		select {
		case got := <-begun:
			cancel()
			if err := <-over; len(begun) > 0 {
				got.err = errors.Join(errors.New("told twice"), err)
			}
			return got
		case err := <-over:
			if len(begun) > 0 {
				return <-begun
			}
			return told{s.Dest, nil, err}
		}
	}
}

func TestCallersLearnThatTheMethodRuns(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]rpc.Metadata{"with a header": {"version": "7"}, "without a header": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			svc := &announcing{header: header}
			rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
				svc.declared(t, s.Server)
				for _, service := range announcingServices {
					for way, begun := range beginWays {
						got := begun(rig.Context(t), s, service)
						if got.err != nil || got.dest != s.Dest || !maps.Equal(got.header, header) {
							t.Errorf("%s of %s: got %v of %v, %v", way, service, got.header, got.dest, got.err)
						}
					}
				}
			})
		})
	}
}

// A method that has replied, or ended well, has run; of a call that failed before
// nobody is told, and who waits gets its error.
func TestACallersWaitEndsWithItsCall(t *testing.T) {
	t.Parallel()
	failed := &rpc.Error{Code: codes.Aborted, Message: "failed"}
	for name, of := range map[string]struct {
		method error
		allow  bool
		code   codes.Code
	}{
		"it ends well":     {nil, true, codes.OK},
		"it fails":         {failed, true, codes.Aborted},
		"it is not to run": {nil, false, codes.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				svc := &announcing{release: make(chan error)}
				close(svc.release)
				if of.method != nil {
					svc.release = make(chan error, 100)
					for range cap(svc.release) {
						svc.release <- of.method
					}
				}
				s := tr.With(t, svc, rig.Options{Server: []rpc.ServerOption{
					rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return of.allow }),
				}})
				svc.declared(t, s.Server)
				for _, service := range announcingServices {
					for way, begun := range beginWays {
						if service == "ClientStream" && of.method == nil && of.allow {
							continue // it replies
						}
						if got := begun(rig.Context(t), s, service); rpc.CodeOf(got.err) != of.code || got.header != nil {
							t.Errorf("%s of %s: got %v, %v; want %v", way, service, got.header, got.err, of.code)
						}
					}
				}
			})
		})
	}
}

// To wait is no longer than its own context, and does the call no harm.
func TestToWaitForTheBeginningEndsWithItsContext(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		svc := &announcing{release: make(chan error)}
		held := make(chan struct{})
		s := with(svc, rig.Options{Server: []rpc.ServerOption{rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				<-held
				return next(ctx, call)
			}
		})}})
		ctx := rig.Context(t)
		call := rpc.NewDuplex[int, int]("Svc", "Watch").Open(ctx, s.Client, s.Dest)
		defer call.Close()
		ended, cancel := context.WithCancel(ctx)
		got := rig.InBackground(func() error {
			_, err := call.Begun(ended)
			return err
		})
		cancel()
		if err := rig.Take(t, "the wait ends", got); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(held) // the method was not run until now
		if _, err := call.Begun(ctx); err != nil {
			t.Errorf("got %v", err)
		}
		svc.release <- nil
		if all, err := rig.Received(ctx, t, call); err != nil || len(all) > 0 {
			t.Errorf("got %v, %v", all, err)
		}
	})
}

// A method's own calls tell nobody of the caller's.
func TestToBeToldGoesOneStep(t *testing.T) {
	t.Parallel()
	s := rig.Local.With(t, rig.NewStreaming(), rig.Options{})
	outer := rpc.NewServerStream[int, int]("Outer", "Watch")
	err := outer.Handle(s.Server, func(ctx context.Context, _ int, _ *rpc.Sender[int]) error {
		for _, err := range rpc.NewServerStream[int, int]("Svc", "Three").Call(ctx, s.Client, s.Dest, 1) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	ctx := rpc.ContextWithBegun(rig.Context(t), func(peer.ID, rpc.Metadata) { count++ })
	for _, err := range outer.Call(ctx, s.Client, s.Dest, 1) {
		t.Errorf("got %v", err)
	}
	if count != 1 {
		t.Errorf("told %d times", count)
	}
}

// Of a peer that speaks v0.6's protocol alone it is known with the first reply.
func TestAV06MethodHasBegunWhenItReplies(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	release := make(chan struct{})
	rig.Serve(t, b, rig.NewStreaming(), rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			call.OnItem(func(any, bool) error {
				<-release
				return nil
			})
			return next(ctx, call)
		}
	}))
	for _, id := range b.Mux().Protocols() {
		if id == rig.Sessions || id == rig.Extended {
			b.RemoveStreamHandler(id)
		}
	}
	ctx := rig.Context(t)
	call := rpc.NewDuplex[int, int]("Svc", "Three").Open(ctx, rig.Client(t, a), b.ID())
	defer call.Close()
	waiting := rig.InBackground(func() error {
		_, err := call.Begun(ctx)
		return err
	})
	select {
	case err := <-waiting:
		t.Errorf("told before a reply: %v", err)
	default:
	}
	close(release)
	if err := rig.Take(t, "the method is known to run", waiting); err != nil {
		t.Error(err)
	}
	if all, err := rig.Received(ctx, t, call); err != nil || len(all) != 3 {
		t.Errorf("got %v, %v", all, err)
	}
}
