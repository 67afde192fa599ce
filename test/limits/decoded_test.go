package limits_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peerstore"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// What messages are decoded to is bounded for each peer. Here 400 bytes are
// decoded to more than 400 KiB, twice of which is within the limit and three
// times is not.

const decodedLimit = 1200 << 10

func inFewBytes() []*Big { return make([]*Big, 400) }

var smallAccount = rpc.WithServerLimits(rpc.Limits{DecodedPerPeer: decodedLimit})

// bigHolder holds what it gets until the test lets it go, and ends as that says.
type bigHolder struct {
	rig.Arith
	started chan struct{}
	ends    chan func() error
	payloads
}

// payloads counts what was decoded.
type payloads struct{ in atomic.Int64 }

func (*payloads) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (p *payloads) HandleRPC(_ context.Context, e stats.RPCStats) {
	if _, ok := e.(*stats.InPayload); ok {
		p.in.Add(1)
	}
}

func newBigHolder() *bigHolder {
	return &bigHolder{started: make(chan struct{}, 100), ends: make(chan func() error, 100)}
}

func (h *bigHolder) Bigs(_ context.Context, in []Big, n *int) error {
	h.started <- struct{}{}
	err := (<-h.ends)()
	*n = len(in)
	return err
}

// Count holds nothing.
func (h *bigHolder) Count(_ context.Context, in []Big, n *int) error {
	*n = len(in)
	return nil
}

// Counts takes an argument each time the test lets it.
func (h *bigHolder) Counts(ctx context.Context, in <-chan []Big, out chan<- int) error {
	for {
		select {
		case end := <-h.ends:
			if err := end(); err != nil {
				return err
			}
			out <- len(<-in)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Last takes one argument.
func (h *bigHolder) Last(_ context.Context, in <-chan []Big, _ chan<- int) error {
	<-in
	return nil
}

var errHeld = errors.New("of the method")

func succeeds() error { return nil }

// serveBigs serves the same methods, by receivers or by functions.
func serveBigs(t *testing.T, s *rpc.Server, h *bigHolder, typed bool) {
	t.Helper()
	if !typed {
		if err := s.RegisterName("Svc", h); err != nil {
			t.Fatal(err)
		}
		return
	}
	unary := func(f func(context.Context, []Big, *int) error) func(context.Context, []Big) (int, error) {
		return func(ctx context.Context, in []Big) (n int, err error) {
			err = f(ctx, in, &n)
			return n, err
		}
	}
	err := errors.Join(
		rpc.NewMethod[rig.Args, int]("Svc", "Multiply").Handle(s, func(_ context.Context, a rig.Args) (int, error) { return a.A * a.B, nil }),
		rpc.NewMethod[[]Big, int]("Svc", "Bigs").Handle(s, unary(h.Bigs)),
		rpc.NewMethod[[]Big, int]("Svc", "Count").Handle(s, unary(h.Count)),
		rpc.NewDuplex[[]Big, int]("Svc", "Counts").Handle(s, func(ctx context.Context, in *rpc.Receiver[[]Big], out *rpc.Sender[int]) error {
			for {
				select {
				case end := <-h.ends:
					bigs, err := in.Receive(ctx)
					if err := errors.Join(err, end()); err != nil {
						return err
					}
					_ = out.Send(ctx, len(bigs))
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}),
		rpc.NewClientStream[[]Big, int]("Svc", "Last").Handle(s, func(ctx context.Context, in *rpc.Receiver[[]Big]) (int, error) {
			_, err := in.Receive(ctx)
			return 0, err
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// forEachBigHolder runs f over the transports between hosts and both forms of
// methods.
func forEachBigHolder(t *testing.T, o func(*bigHolder) []rpc.ServerOption, f func(t *testing.T, s rig.Setup, h *bigHolder)) {
	t.Helper()
	for _, tr := range rig.Transports[1:] {
		for _, typed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/typed %v", tr.Name, typed), func(t *testing.T) {
				t.Parallel()
				h := newBigHolder()
				s := tr.Setup(t, rig.Options{Server: append(o(h), smallAccount)})
				serveBigs(t, s.Server, h, typed)
				f(t, s, h)
			})
		}
	}
}

func bigs(ctx context.Context, s rig.Setup, args any) <-chan error {
	return rig.InBackground(func() error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Bigs", args, new(int)) })
}

// fits checks that the peer can have all of the account, and so nothing of it
// was kept.
func (h *bigHolder) fits(t *testing.T, s rig.Setup) {
	t.Helper()
	var calls []<-chan error
	for range 2 {
		calls = append(calls, bigs(rig.Context(t), s, inFewBytes()))
		rig.Take(t, "the method begins", h.started)
	}
	for range 2 {
		h.ends <- succeeds
	}
	for _, call := range calls {
		if err := rig.Take(t, "the call ends", call); err != nil {
			t.Error(err)
		}
	}
}

func TestDecodedArgumentsAreBoundedForEachPeer(t *testing.T) {
	t.Parallel()
	none := func(*bigHolder) []rpc.ServerOption { return nil }
	forEachBigHolder(t, none, func(t *testing.T, s rig.Setup, h *bigHolder) {
		ctx := rig.Context(t)
		var calls []<-chan error
		for range 2 {
			calls = append(calls, bigs(ctx, s, inFewBytes()))
			rig.Take(t, "the method begins", h.started)
		}
		err := rig.Take(t, "the call is refused", bigs(ctx, s, inFewBytes()))
		rig.CheckErr(t, err, rpc.ServerErr, codes.ResourceExhausted, "Svc.Bigs", "the argument", "Limits.DecodedPerPeer")
		var e *rpc.Error
		var limit *rpc.LimitError
		if !errors.As(err, &e) || !e.Unsent() || !errors.As(err, &limit) || limit.Limit != "Limits.DecodedPerPeer" {
			t.Errorf("it may be made again later: %#v", err)
		}
		rig.Multiplies(t, s.Client, s.Dest)
		other := rig.NewHost(t)
		other.Peerstore().AddAddrs(s.Dest, s.Host.Peerstore().Addrs(s.Dest), peerstore.PermanentAddrTTL)
		if err := rig.Client(t, other).CallContext(ctx, s.Dest, "Svc", "Count", inFewBytes(), new(int)); err != nil {
			t.Errorf("another peer has an account of its own: %v", err)
		}
		for range 2 {
			h.ends <- succeeds
		}
		for _, call := range calls {
			if err := rig.Take(t, "the call ends", call); err != nil {
				t.Error(err)
			}
		}
		h.fits(t, s)

		err = rig.Take(t, "the call is refused", bigs(ctx, s, make([]*Big, 1200)))
		rig.CheckErr(t, err, rpc.ServerErr, codes.ResourceExhausted, "Svc.Bigs", "Limits.DecodedPerPeer")
		if errors.As(err, &e) && e.Unsent() {
			t.Errorf("it would be refused again: %v", err)
		}
	})
}

func TestWhatAnArgumentWasDecodedToIsGivenBackHoweverTheCallEnds(t *testing.T) {
	t.Parallel()
	refused := func(*bigHolder) []rpc.ServerOption {
		return []rpc.ServerOption{rpc.WithRefusedFunc(func(context.Context, *rpc.CallInfo, error) {})}
	}
	forEachBigHolder(t, refused, func(t *testing.T, s rig.Setup, h *bigHolder) {
		ctx := rig.Context(t)
		for name, end := range map[string]func() error{
			"well":  succeeds,
			"error": func() error { return errHeld },
			"panic": func() error { panic("of the method") },
			"exit":  func() error { runtime.Goexit(); return nil },
		} {
			call := bigs(ctx, s, inFewBytes())
			rig.Take(t, "the method begins", h.started)
			h.ends <- end
			if err := rig.Take(t, "the call ends", call); (err == nil) != (name == "well") {
				t.Errorf("%s: %v", name, err)
			}
			h.fits(t, s)
		}
		for range 4 {
			wrong := append(make([]any, 400), "no Big")
			if err := rig.Take(t, "the call ends", bigs(ctx, s, wrong)); err == nil {
				t.Error("an argument of another type is taken")
			}
			unknown := make([]any, 40_000)
			err := s.Client.CallContext(ctx, s.Dest, "Svc", "Unknown", unknown, new(int))
			rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented)
		}
		h.fits(t, s)

		// The caller's going does not make it garbage.
		gone, cancel := context.WithCancel(ctx)
		var calls []<-chan error
		for range 2 {
			calls = append(calls, bigs(gone, s, inFewBytes()))
			rig.Take(t, "the method begins", h.started)
		}
		cancel()
		for _, call := range calls {
			rig.Take(t, "the call ends", call)
		}
		err := rig.Take(t, "the call is refused", bigs(ctx, s, inFewBytes()))
		rig.CheckErr(t, err, rpc.ServerErr, codes.ResourceExhausted, "Limits.DecodedPerPeer")
		for range 2 {
			h.ends <- succeeds
		}
		rig.Eventually(t, "the methods have returned, and it is given back", func() bool { return count(ctx, s, 2) == nil })
	})
}

// count makes a call that takes as much as so many of inFewBytes, and holds
// nothing.
func count(ctx context.Context, s rig.Setup, times int) error {
	return s.Client.CallContext(ctx, s.Dest, "Svc", "Count", make([]*Big, times*400), new(int))
}

func TestItemsThatWaitAreAccountedFor(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{0, 4} {
		t.Run(fmt.Sprint("buffer ", buffer), func(t *testing.T) {
			t.Parallel()
			o := func(h *bigHolder) []rpc.ServerOption {
				return []rpc.ServerOption{rpc.WithStreamBufferSize(buffer), rpc.WithServerStatsHandler(&h.payloads)}
			}
			forEachBigHolder(t, o, func(t *testing.T, s rig.Setup, h *bigHolder) {
				ctx := rig.Context(t)
				open := rpc.NewDuplex[[]*Big, int]("Svc", "Counts").Open
				call := open(ctx, s.Client, s.Dest)
				defer call.Close()
				for range 20 { // each is taken, and makes room
					if err := call.Send(ctx, inFewBytes()); err != nil {
						t.Fatal(err)
					}
					h.ends <- succeeds
					if n, err := call.Receive(ctx); err != nil || n != 400 {
						t.Fatal(n, err)
					}
				}
				_ = call.CloseSend()
				h.ends <- func() error { return errHeld }
				if _, err := call.Receive(ctx); err == nil {
					t.Error("a call that is over goes on")
				}

				if err := count(ctx, s, 2); err != nil {
					t.Errorf("what was taken is not given back: %v", err)
				}
				h.in.Store(20)

				var waiting []*rpc.DuplexCall[[]*Big, int]
				for range 2 { // they are not taken: two wait, wherever that is
					call := open(ctx, s.Client, s.Dest)
					defer call.Close()
					_ = call.Send(ctx, inFewBytes())
					waiting = append(waiting, call)
				}
				rig.Eventually(t, "both are decoded", func() bool { return h.in.Load() == 22 })
				err := count(ctx, s, 1)
				rig.CheckErr(t, err, rpc.ServerErr, codes.ResourceExhausted, "the argument", "Limits.DecodedPerPeer")
				last := rpc.NewClientStream[[]*Big, int]("Svc", "Last").Open(ctx, s.Client, s.Dest)
				_ = last.Send(ctx, inFewBytes())
				_, err = last.Finish(ctx)
				rig.CheckErr(t, err, rpc.ServerErr, codes.ResourceExhausted, "argument 1 of the stream", "Limits.DecodedPerPeer")
				for _, call := range waiting {
					_ = call.Close()
				}
				rig.Eventually(t, "what waited in calls that are over is given back", func() bool { return count(ctx, s, 2) == nil })
			})
		})
	}
}

// replier has methods whose replies are few bytes.
type replier struct{}

func (replier) Reply(_ context.Context, n int, out *[]*Big) error {
	*out = make([]*Big, n)
	return nil
}

func (replier) Replies(ctx context.Context, in <-chan int, out chan<- []*Big) error {
	defer close(out)
	for range <-in {
		select {
		case out <- inFewBytes():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// A client accounts for replies until the caller has them.
func TestDecodedRepliesAreBoundedInAClient(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports[1:] {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			var decoded payloads
			s := tr.Setup(t, rig.Options{Client: []rpc.ClientOption{
				rpc.WithClientLimits(rpc.Limits{DecodedPerPeer: decodedLimit}), rpc.WithClientStatsHandler(&decoded),
			}})
			if err := s.Server.RegisterName("Svc", replier{}); err != nil {
				t.Fatal(err)
			}
			ctx := rig.Context(t)
			byName := func(n int) error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Reply", n, new([]Big)) }
			typed := func(n int) error {
				_, err := rpc.NewMethod[int, []Big]("Svc", "Reply").Call(ctx, s.Client, s.Dest, n)
				return err
			}
			for _, call := range []func(int) error{byName, typed} {
				for range 10 {
					if err := call(800); err != nil {
						t.Error(err)
					}
				}
				rig.CheckErr(t, call(1200), rpc.ClientErr, codes.ResourceExhausted, "the reply", "Limits.DecodedPerPeer")
			}

			replies := rpc.NewDuplex[int, []Big]("Svc", "Replies")
			open := func() *rpc.DuplexCall[int, []Big] {
				call := replies.Open(ctx, s.Client, s.Dest)
				_ = call.Send(ctx, 20)
				_ = call.CloseSend()
				return call
			}
			n := 0
			for bigs, err := range open().All(ctx) {
				if n++; err != nil || len(bigs) != 400 {
					t.Fatal(n, err)
				}
			}
			if n != 20 {
				t.Errorf("%d replies", n)
			}
			decoded.in.Store(0)
			unread := open() // of whose replies two are decoded, and wait
			rig.Eventually(t, "they are decoded", func() bool { return decoded.in.Load() == 2 })
			rig.CheckErr(t, byName(400), rpc.ClientErr, codes.ResourceExhausted, "the reply", "Limits.DecodedPerPeer")
			refused := open()
			_, err := refused.Receive(ctx)
			rig.CheckErr(t, err, rpc.ClientErr, codes.ResourceExhausted, "reply 1 of the stream", "Limits.DecodedPerPeer")
			_ = unread.Close()
			if err := byName(800); err != nil {
				t.Errorf("after the call: %v", err)
			}
		})
	}
}

// Replies that have no room beside each other are decoded one after the other, and
// none is lost: their methods have run.
func TestRepliesThatAreDecodedAtOnceShareTheirAccount(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports[1:] {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{Client: []rpc.ClientOption{rpc.WithClientLimits(rpc.Limits{DecodedPerPeer: decodedLimit})}})
			if err := s.Server.RegisterName("Svc", replier{}); err != nil {
				t.Fatal(err)
			}
			var calls sync.WaitGroup
			for range 16 {
				calls.Go(func() {
					for range 20 {
						var bigs []Big
						if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Reply", 800, &bigs); err != nil || len(bigs) != 800 {
							t.Errorf("%d values, %v", len(bigs), err)
							return
						}
					}
				})
			}
			calls.Wait()
		})
	}
}
