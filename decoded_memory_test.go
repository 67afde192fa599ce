package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/peerstore"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// What messages are decoded to is bounded for each peer. Here 400 bytes are
// decoded to more than 400 KiB, twice of which is within the limit and three
// times is not.

const decodedLimit = 1200 << 10

func inFewBytes() []*Big { return make([]*Big, 400) }

var smallAccount = rpc.WithServerLimits(rpc.Limits{DecodedPerPeer: decodedLimit})

// bigHolder holds what it gets until the test lets it go, and ends as that says.
type bigHolder struct {
	Arith
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
		rpc.NewMethod[Args, int]("Svc", "Multiply").Handle(s, func(_ context.Context, a Args) (int, error) { return a.A * a.B, nil }),
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
func forEachBigHolder(t *testing.T, o func(*bigHolder) []rpc.ServerOption, f func(t *testing.T, s setup, h *bigHolder)) {
	t.Helper()
	for _, tr := range transports[1:] {
		for _, typed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/typed %v", tr.name, typed), func(t *testing.T) {
				t.Parallel()
				h := newBigHolder()
				s := tr.setup(t, options{server: append(o(h), smallAccount)})
				serveBigs(t, s.server, h, typed)
				f(t, s, h)
			})
		}
	}
}

func (s setup) bigs(ctx context.Context, args any) <-chan error {
	return inBackground(func() error { return s.client.CallContext(ctx, s.dest, "Svc", "Bigs", args, new(int)) })
}

// fits checks that the peer can have all of the account, and so nothing of it
// was kept.
func (h *bigHolder) fits(t *testing.T, s setup) {
	t.Helper()
	var calls []<-chan error
	for range 2 {
		calls = append(calls, s.bigs(testContext(t), inFewBytes()))
		take(t, "the method begins", h.started)
	}
	for range 2 {
		h.ends <- succeeds
	}
	for _, call := range calls {
		if err := take(t, "the call ends", call); err != nil {
			t.Error(err)
		}
	}
}

func TestDecodedArgumentsAreBoundedForEachPeer(t *testing.T) {
	t.Parallel()
	none := func(*bigHolder) []rpc.ServerOption { return nil }
	forEachBigHolder(t, none, func(t *testing.T, s setup, h *bigHolder) {
		ctx := testContext(t)
		var calls []<-chan error
		for range 2 {
			calls = append(calls, s.bigs(ctx, inFewBytes()))
			take(t, "the method begins", h.started)
		}
		err := take(t, "the call is refused", s.bigs(ctx, inFewBytes()))
		checkErr(t, err, rpc.ServerErr, rpc.CodeResourceExhausted, "Svc.Bigs", "the argument", "Limits.DecodedPerPeer")
		var e *rpc.Error
		var limit *rpc.LimitError
		if !errors.As(err, &e) || !e.Unsent() || !errors.As(err, &limit) || limit.Limit != "Limits.DecodedPerPeer" {
			t.Errorf("it may be made again later: %#v", err)
		}
		multiplies(t, s.client, s.dest)
		other := newHost(t)
		other.Peerstore().AddAddrs(s.dest, s.host.Peerstore().Addrs(s.dest), peerstore.PermanentAddrTTL)
		if err := newClientOf(t, other).CallContext(ctx, s.dest, "Svc", "Count", inFewBytes(), new(int)); err != nil {
			t.Errorf("another peer has an account of its own: %v", err)
		}
		for range 2 {
			h.ends <- succeeds
		}
		for _, call := range calls {
			if err := take(t, "the call ends", call); err != nil {
				t.Error(err)
			}
		}
		h.fits(t, s)

		err = take(t, "the call is refused", s.bigs(ctx, make([]*Big, 1200)))
		checkErr(t, err, rpc.ServerErr, rpc.CodeResourceExhausted, "Svc.Bigs", "Limits.DecodedPerPeer")
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
	forEachBigHolder(t, refused, func(t *testing.T, s setup, h *bigHolder) {
		ctx := testContext(t)
		for name, end := range map[string]func() error{
			"well":  succeeds,
			"error": func() error { return errHeld },
			"panic": func() error { panic("of the method") },
			"exit":  func() error { runtime.Goexit(); return nil },
		} {
			call := s.bigs(ctx, inFewBytes())
			take(t, "the method begins", h.started)
			h.ends <- end
			if err := take(t, "the call ends", call); (err == nil) != (name == "well") {
				t.Errorf("%s: %v", name, err)
			}
			h.fits(t, s)
		}
		for range 4 {
			wrong := append(make([]any, 400), "no Big")
			if err := take(t, "the call ends", s.bigs(ctx, wrong)); err == nil {
				t.Error("an argument of another type is taken")
			}
			unknown := make([]any, 40_000)
			err := s.client.CallContext(ctx, s.dest, "Svc", "Unknown", unknown, new(int))
			checkErr(t, err, rpc.ServerErr, rpc.CodeUnimplemented)
		}
		h.fits(t, s)

		// The caller's going does not make it garbage.
		gone, cancel := context.WithCancel(ctx)
		var calls []<-chan error
		for range 2 {
			calls = append(calls, s.bigs(gone, inFewBytes()))
			take(t, "the method begins", h.started)
		}
		cancel()
		for _, call := range calls {
			take(t, "the call ends", call)
		}
		err := take(t, "the call is refused", s.bigs(ctx, inFewBytes()))
		checkErr(t, err, rpc.ServerErr, rpc.CodeResourceExhausted, "Limits.DecodedPerPeer")
		for range 2 {
			h.ends <- succeeds
		}
		eventually(t, "the methods have returned, and it is given back", func() bool { return s.count(ctx, 2) == nil })
	})
}

// count makes a call that takes as much as so many of inFewBytes, and holds
// nothing.
func (s setup) count(ctx context.Context, times int) error {
	return s.client.CallContext(ctx, s.dest, "Svc", "Count", make([]*Big, times*400), new(int))
}

func TestItemsThatWaitAreAccountedFor(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{0, 4} {
		t.Run(fmt.Sprint("buffer ", buffer), func(t *testing.T) {
			t.Parallel()
			o := func(h *bigHolder) []rpc.ServerOption {
				return []rpc.ServerOption{rpc.WithStreamBufferSize(buffer), rpc.WithServerStatsHandler(&h.payloads)}
			}
			forEachBigHolder(t, o, func(t *testing.T, s setup, h *bigHolder) {
				ctx := testContext(t)
				open := rpc.NewDuplex[[]*Big, int]("Svc", "Counts").Open
				call := open(ctx, s.client, s.dest)
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

				if err := s.count(ctx, 2); err != nil {
					t.Errorf("what was taken is not given back: %v", err)
				}
				h.in.Store(20)

				var waiting []*rpc.DuplexCall[[]*Big, int]
				for range 2 { // they are not taken: two wait, wherever that is
					call := open(ctx, s.client, s.dest)
					defer call.Close()
					_ = call.Send(ctx, inFewBytes())
					waiting = append(waiting, call)
				}
				eventually(t, "both are decoded", func() bool { return h.in.Load() == 22 })
				err := s.count(ctx, 1)
				checkErr(t, err, rpc.ServerErr, rpc.CodeResourceExhausted, "the argument", "Limits.DecodedPerPeer")
				last := rpc.NewClientStream[[]*Big, int]("Svc", "Last").Open(ctx, s.client, s.dest)
				_ = last.Send(ctx, inFewBytes())
				_, err = last.Finish(ctx)
				checkErr(t, err, rpc.ServerErr, rpc.CodeResourceExhausted, "argument 1 of the stream", "Limits.DecodedPerPeer")
				for _, call := range waiting {
					_ = call.Close()
				}
				eventually(t, "what waited in calls that are over is given back", func() bool { return s.count(ctx, 2) == nil })
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
	for _, tr := range transports[1:] {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			var decoded payloads
			s := tr.setup(t, options{client: []rpc.ClientOption{
				rpc.WithClientLimits(rpc.Limits{DecodedPerPeer: decodedLimit}), rpc.WithClientStatsHandler(&decoded),
			}})
			if err := s.server.RegisterName("Svc", replier{}); err != nil {
				t.Fatal(err)
			}
			ctx := testContext(t)
			byName := func(n int) error { return s.client.CallContext(ctx, s.dest, "Svc", "Reply", n, new([]Big)) }
			typed := func(n int) error {
				_, err := rpc.NewMethod[int, []Big]("Svc", "Reply").Call(ctx, s.client, s.dest, n)
				return err
			}
			for _, call := range []func(int) error{byName, typed} {
				for range 10 {
					if err := call(800); err != nil {
						t.Error(err)
					}
				}
				checkErr(t, call(1200), rpc.ClientErr, rpc.CodeResourceExhausted, "the reply", "Limits.DecodedPerPeer")
			}

			replies := rpc.NewDuplex[int, []Big]("Svc", "Replies")
			open := func() *rpc.DuplexCall[int, []Big] {
				call := replies.Open(ctx, s.client, s.dest)
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
			eventually(t, "they are decoded", func() bool { return decoded.in.Load() == 2 })
			checkErr(t, byName(400), rpc.ClientErr, rpc.CodeResourceExhausted, "the reply", "Limits.DecodedPerPeer")
			refused := open()
			_, err := refused.Receive(ctx)
			checkErr(t, err, rpc.ClientErr, rpc.CodeResourceExhausted, "reply 1 of the stream", "Limits.DecodedPerPeer")
			_ = unread.Close()
			if err := byName(800); err != nil {
				t.Errorf("after the call: %v", err)
			}
		})
	}
}
