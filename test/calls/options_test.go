package calls_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func hours(n int) rpc.CallOption { return rpc.CallTimeout(time.Duration(n) * time.Hour) }

func TestNearestTimeoutCounts(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for name, c := range map[string]struct {
			client  rpc.ClientOption
			method  []rpc.CallOption
			context int
			call    []rpc.CallOption
			want    int
		}{
			"client":                    {client: rpc.WithCallOptions(hours(3)), want: 3},
			"method over client":        {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(9)}, want: 9},
			"none at method":            {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(0)}, want: 0},
			"context over both":         {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(4)}, context: 9, want: 9},
			"call over client":          {client: rpc.WithCallOptions(hours(3)), call: []rpc.CallOption{hours(9)}, want: 9},
			"none at call":              {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(4)}, call: []rpc.CallOption{hours(0)}, want: 0},
			"call within context":       {context: 9, call: []rpc.CallOption{hours(3)}, want: 3},
			"call no longer than that":  {context: 3, call: []rpc.CallOption{hours(9)}, want: 3},
			"of several the last":       {call: []rpc.CallOption{hours(3), hours(9)}, want: 9},
			"of several the client has": {client: rpc.WithCallOptions(hours(3), hours(9)), want: 9},
		} {
			t.Run(tr.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				var o rig.Options
				if c.client != nil {
					o.Client = append(o.Client, c.client)
				}
				s := tr.Setup(t, o)
				left := rig.MustHandle(t, s.Server, rig.HoursLeft(c.method...), rig.TellHours)
				ctx := context.Background()
				if c.context > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(c.context)*time.Hour)
					defer cancel()
				}
				if got, err := left.Call(ctx, s.Client, s.Dest, struct{}{}, c.call...); err != nil || got != c.want {
					t.Errorf("%d hours, not %d; %v", got, c.want, err)
				}
			})
		}
	}
}

func TestCallTimeoutEndsTheCall(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		block := rpc.NewMethod[struct{}, struct{}]("Svc", "Block")
		err := rig.Take(t, "the call ends", rig.InBackground(func() error {
			_, err := block.Call(context.Background(), s.Client, s.Dest, struct{}{}, rpc.CallTimeout(100*time.Millisecond))
			return err
		}))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestContextsThatForbidToDialUseOnlyConnectionsThatAreThere(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHost(t), rig.NewHost(t)
		rig.Know(a, b)
		rig.Serve(t, b, rig.Arith{})
		c := tr.Client(t, a)
		ctx := network.WithNoDial(rig.Context(t), "test")

		_, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7})
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Multiply", b.ID().String())
		replies := make(chan rig.Quotient)
		serr := c.Stream(ctx, b.ID(), "Svc", "Divides", make(chan rig.Args), replies)
		rig.CheckErr(t, serr, rpc.ClientErr, codes.Unavailable, "Svc.Divides")
		for _, err := range []error{err, serr} {
			if e := new(rpc.Error); !errors.Is(err, network.ErrNoConn) || !errors.As(err, &e) || !e.Unsent() {
				t.Errorf("%v: not ErrNoConn, or not unsent", err)
			}
		}
		if n := a.Network().Connectedness(b.ID()); n != network.NotConnected {
			t.Errorf("it was dialled: %v", n)
		}

		waiting := rig.InBackground(func() error {
			_, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7}, rpc.CallWait(true))
			return err
		})
		rig.Connect(t, b, a)
		if err := rig.Take(t, "the call that waits ends", waiting); err != nil {
			t.Errorf("the peer has connected: %v", err)
		}
		if product, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7}); err != nil || product != 42 {
			t.Errorf("over the connection that is there: %v, %v", product, err)
		}
	})
}

// tryingHost tells of every stream that is asked for.
type tryingHost struct {
	host.Host
	tried chan struct{}
}

func (h tryingHost) NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error) {
	st, err := h.Host.NewStream(ctx, p, pids...)
	h.tried <- struct{}{}
	return st, err
}

func TestCallWaitGoesOnWhenThePeerCanBeReached(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for how, reach := range map[string]func(t *testing.T, a, b host.Host){
			"its address becomes known": func(_ *testing.T, a, b host.Host) { rig.Know(a, b) },
			"it connects":               func(t *testing.T, a, b host.Host) { rig.Connect(t, b, a) },
		} {
			for _, streaming := range []bool{false, true} {
				t.Run(how, func(t *testing.T) {
					t.Parallel()
					a, b := rig.NewHost(t), rig.NewHost(t)
					rig.Serve(t, b, rig.Arith{})
					h := tryingHost{a, make(chan struct{}, 1000)}
					c := tr.Client(t, h, rpc.WithCallOptions(rpc.CallWait(true)))
					args, replies := make(chan rig.Args, 1), make(chan rig.Quotient, 1)
					args <- rig.Args{A: 7, B: 2}
					close(args)
					result := rig.InBackground(func() error {
						if streaming {
							return c.Stream(rig.Context(t), b.ID(), "Svc", "Divides", args, replies)
						}
						product, err := rig.MultiplyMethod.Call(rig.Context(t), c, b.ID(), &rig.Args{A: 6, B: 7})
						if product != 42 {
							err = errors.Join(err, errors.New("no product"))
						}
						return err
					})
					rig.Take(t, "it is tried", h.tried)
					rig.Take(t, "it is tried again", h.tried)
					reach(t, a, b)
					if err := rig.Take(t, "the call ends", result); err != nil {
						t.Error(err)
					}
					if streaming {
						if q := <-replies; q != (rig.Quotient{Quo: 3, Rem: 1}) {
							t.Errorf("got %v", q)
						}
					}
				})
			}
		}
	})
}

func TestCallWaitEndsWithItsContextOrItsClient(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		h := tryingHost{rig.NewHost(t), make(chan struct{}, 1000)}
		c := tr.Client(t, h)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		begin := func(ctx context.Context, opts ...rpc.CallOption) <-chan error {
			return rig.InBackground(func() error {
				nowhere := coretest.RandPeerIDFatal(t)
				_, err := rig.MultiplyMethod.Call(ctx, c, nowhere, &rig.Args{A: 6, B: 7}, append(opts, rpc.CallWait(true))...)
				return err
			})
		}
		timed := begin(context.Background(), rpc.CallTimeout(200*time.Millisecond))
		cancelled, closed := begin(ctx), begin(context.Background())
		for range 3 {
			rig.Take(t, "they are tried", h.tried)
		}

		check := func(err error, code codes.Code) {
			t.Helper()
			rig.CheckErr(t, err, rpc.ClientErr, code, "Svc.Multiply", "no addresses")
			if e := new(rpc.Error); !errors.As(err, &e) || !e.Unsent() {
				t.Errorf("not unsent: %v", err)
			}
		}
		err := rig.Take(t, "the timeout ends it", timed)
		check(err, codes.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		err = rig.Take(t, "cancelling ends it", cancelled)
		check(err, codes.Canceled)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_ = c.Close()
		check(rig.Take(t, "closing ends it", closed), codes.Unavailable)
	})
}

// A context that forbids to dial does not make a call wait for another's dial, or for
// a direct connection beside the relayed one.
func TestContextsThatForbidToDialDoNotWait(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	rig.Serve(t, b, rig.Arith{})
	c := rig.Client(t, a)
	ctx := network.WithNoDial(rig.Context(t), "test")
	_, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7})
	rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "relayed (limited)")
	ctx = network.WithAllowLimitedConn(ctx, "test")
	if product, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7}); err != nil || product != 42 {
		t.Errorf("over the relay: %v, %v", product, err)
	}

	nowhere := coretest.RandPeerIDFatal(t)
	h := dialingHost{a, make(chan struct{}), make(chan struct{})}
	c = rig.Client(t, h)
	dialing := rig.InBackground(func() error {
		_, err := rig.MultiplyMethod.Call(rig.Context(t), c, nowhere, &rig.Args{A: 6, B: 7})
		return err
	})
	rig.Take(t, "another call dials", h.begun)
	_, err = rig.MultiplyMethod.Call(ctx, c, nowhere, &rig.Args{A: 6, B: 7})
	if !errors.Is(err, network.ErrNoConn) {
		t.Errorf("while another dials: %v", err)
	}
	close(h.proceed)
	if err := rig.Take(t, "the other call ends", dialing); err == nil {
		t.Error("there is nobody to dial")
	}
}

// dialingHost dials when it is told to.
type dialingHost struct {
	host.Host
	begun, proceed chan struct{}
}

func (h dialingHost) NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error) {
	h.begun <- struct{}{}
	<-h.proceed
	return h.Host.NewStream(ctx, p, pids...)
}

// stuckHost fails to open a stream at first, and then waits for the context.
type stuckHost struct {
	host.Host
	tries *atomic.Int32
}

func (h stuckHost) NewStream(ctx context.Context, p peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	if h.tries.Add(1) == 1 {
		return h.Host.NewStream(ctx, p, protocols...)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCallWaitThatEndsInADialTellsOfTheOneBefore(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		h := stuckHost{rig.NewHost(t), new(atomic.Int32)}
		c := tr.Client(t, h)
		_, err := rig.MultiplyMethod.Call(context.Background(), c, coretest.RandPeerIDFatal(t), &rig.Args{A: 6, B: 7}, rpc.CallWait(true), rpc.CallTimeout(rig.Slower(time.Second)))
		rig.CheckErr(t, err, rpc.ClientErr, codes.DeadlineExceeded, "Svc.Multiply", "no addresses")
		if !rig.Unsent(err) || h.tries.Load() != 2 {
			t.Errorf("after %d tries: %v", h.tries.Load(), err)
		}
	})
}
